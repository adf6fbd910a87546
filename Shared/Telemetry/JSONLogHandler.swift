import Foundation
import Logging
import Synchronization
import WireJSON

/// Writes one JSON object a line: `ts`, `level`, `service`, `message`, then the metadata.
///
package struct JSONLogHandler: LogHandler {
    package var logLevel: Logger.Level {
        get { own ?? threshold.level }
        set { own = newValue }
    }
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    private let service: String
    private let output: any LogOutput
    private let threshold: LogThreshold
    /// Set on this logger alone: it no longer follows the process's.
    private var own: Logger.Level?

    package init(
        service: String, threshold: LogThreshold, output: any LogOutput
    ) {
        self.service = service
        self.threshold = threshold
        self.output = output
    }

    package init(
        service: String, level: Logger.Level, output: any LogOutput
    ) {
        self.init(service: service, threshold: LogThreshold(level), output: output)
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var line: [UInt8] = []
        line.reserveCapacity(512)
        line.append(literal: "{\"ts\":\"")
        line.append(contentsOf: Timestamp.nowUTF8())
        line.append(literal: "\",\"level\":")
        line.append(jsonString: event.level.rawValue)
        line.append(literal: ",\"service\":")
        line.append(jsonString: service)
        line.append(literal: ",\"message\":")
        line.append(jsonString: event.message.description)
        for (key, value) in metadata(of: event).sorted(by: { $0.key < $1.key }) {
            line.append(byte: UInt8(ascii: ","))
            line.append(jsonString: key)
            line.append(byte: UInt8(ascii: ":"))
            line.append(metadata: value)
        }
        line.append(literal: "}\n")
        output.write(line, at: event.level)
    }

    /// Mostly the event's own: most loggers have none, and merging copies what there is.
    private func metadata(of event: LogEvent) -> Logger.Metadata {
        var all = metadata
        for more in [metadataProvider?.get(), event.metadata] {
            guard let more else { continue }
            if all.isEmpty { all = more } else { all.merge(more) { _, new in new } }
        }
        return all
    }
}

extension [UInt8] {
    fileprivate mutating func append(metadata value: Logger.Metadata.Value) {
        switch value {
        case .string(let text): append(jsonString: text)
        case .stringConvertible(let number as any BinaryInteger):
            append(contentsOf: "\(number)".utf8)
        case .stringConvertible(let flag as Bool): append(bool: flag)
        case .stringConvertible(let other): append(jsonString: other.description)
        case .array(let values):
            append(byte: UInt8(ascii: "["))
            for (index, element) in values.enumerated() {
                if index > 0 { append(byte: UInt8(ascii: ",")) }
                append(metadata: element)
            }
            append(byte: UInt8(ascii: "]"))
        case .dictionary(let values):
            append(byte: UInt8(ascii: "{"))
            for (index, (key, element)) in values.sorted(by: { $0.key < $1.key }).enumerated() {
                if index > 0 { append(byte: UInt8(ascii: ",")) }
                append(jsonString: key)
                append(byte: UInt8(ascii: ":"))
                append(metadata: element)
            }
            append(byte: UInt8(ascii: "}"))
        }
    }
}

/// UTC times with microseconds, in the form of RFC 3339.
package enum Timestamp {
    /// The present, with all six places of the second.
    package static func now() -> String { String(decoding: nowUTF8(), as: UTF8.self) }

    static func nowUTF8() -> [UInt8] {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return utf8(seconds: time.tv_sec, microseconds: time.tv_nsec / 1000)
    }

    /// - Parameters:
    ///   - seconds: since 1970.
    ///   - microseconds: 0 to 999 999.
    ///   - trimsZeros: leaves out the zeros at the end of the second's places, and the point when there are no others.
    package static func utf8(
        seconds: Int, microseconds: Int, trimsZeros: Bool = false
    ) -> [UInt8] {
        var seconds = seconds
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var text: [UInt8] = []
        text.reserveCapacity(32)
        func append(_ value: Int32, digits: Int, then next: Unicode.Scalar) {
            for place in (0..<digits).reversed() {
                let digit = value / powersOfTen[place] % 10
                text.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: digit))
            }
            text.append(UInt8(ascii: next))
        }
        append(parts.tm_year + 1900, digits: 4, then: "-")
        append(parts.tm_mon + 1, digits: 2, then: "-")
        append(parts.tm_mday, digits: 2, then: "T")
        append(parts.tm_hour, digits: 2, then: ":")
        append(parts.tm_min, digits: 2, then: ":")
        append(parts.tm_sec, digits: 2, then: ".")
        append(Int32(microseconds), digits: 6, then: "Z")
        guard trimsZeros else { return text }
        text.removeLast()
        while text.last == UInt8(ascii: "0"), microseconds > 0 { text.removeLast() }
        if microseconds == 0 { text.removeLast(7) }
        text.append(UInt8(ascii: "Z"))
        return text
    }

    private static let powersOfTen: [Int32] = [1, 10, 100, 1000, 10_000, 100_000]
}
