import Foundation
import Logging
import Synchronization
import WireJSON

/// Writes one JSON object a line to a file descriptor: `ts`, `level`, `service`, `message`, then the metadata.
///
/// A line is one `write`, so lines of several processes on one pipe do not mix (up to the pipe's atomic size).
package struct JSONLogHandler: LogHandler {
    package var logLevel: Logger.Level
    package var metadata: Logger.Metadata = [:]
    package var metadataProvider: Logger.MetadataProvider?
    private let service: String
    private let output: any LogOutput

    package init(
        service: String, level: Logger.Level, output: any LogOutput = StandardErrorOutput()
    ) {
        self.service = service
        self.logLevel = level
        self.output = output
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var line: [UInt8] = []
        line.reserveCapacity(256)
        line.append(literal: "{\"ts\":")
        line.append(jsonString: Timestamp.now())
        line.append(literal: ",\"level\":")
        line.append(jsonString: event.level.rawValue)
        line.append(literal: ",\"service\":")
        line.append(jsonString: service)
        line.append(literal: ",\"message\":")
        line.append(jsonString: event.message.description)
        var all = metadata
        if let provided = metadataProvider?.get() { all.merge(provided) { _, new in new } }
        if let own = event.metadata { all.merge(own) { _, new in new } }
        for (key, value) in all.sorted(by: { $0.key < $1.key }) {
            line.append(byte: UInt8(ascii: ","))
            line.append(jsonString: key)
            line.append(byte: UInt8(ascii: ":"))
            line.append(metadata: value)
        }
        line.append(literal: "}\n")
        output.write(line)
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

/// Where log lines go. One call is one whole line.
package protocol LogOutput: Sendable {
    func write(_ line: [UInt8])
}

/// The process's standard error.
package struct StandardErrorOutput: LogOutput {
    package init() {}

    package func write(_ line: [UInt8]) {
        // A log that cannot be written must not stop the service: the result is of no use to anyone.
        _ = line.withUnsafeBytes { Foundation.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

/// UTC times with microseconds, in the form of RFC 3339.
package enum Timestamp {
    package static func now() -> String {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return text(seconds: time.tv_sec, microseconds: time.tv_nsec / 1000)
    }

    package static func text(seconds: Int, microseconds: Int) -> String {
        var seconds = seconds
        var parts = tm()
        gmtime_r(&seconds, &parts)
        func pad(_ value: Int32, _ width: Int = 2) -> String {
            let digits = String(value)
            return String(repeating: "0", count: max(0, width - digits.count)) + digits
        }
        return "\(pad(parts.tm_year + 1900, 4))-\(pad(parts.tm_mon + 1))-\(pad(parts.tm_mday))"
            + "T\(pad(parts.tm_hour)):\(pad(parts.tm_min)):\(pad(parts.tm_sec))"
            + ".\(pad(Int32(microseconds), 6))Z"
    }
}
