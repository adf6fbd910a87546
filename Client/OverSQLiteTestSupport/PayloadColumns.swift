import Foundation
import WireJSON

/// The top-level members of a payload, as far as the rules need their values.
typealias PayloadColumns = [String: PayloadValue]

enum PayloadValue: Hashable, Sendable {
    case null
    case text(String)
    /// Any other JSON, as it was written.
    case other(String)
}

extension PayloadColumns {
    /// - Parameter json: JSON that has already been validated.
    init(json: String) {
        var columns: PayloadColumns = [:]
        var json = json
        json.withUTF8 { bytes in
            var reader = JSONReader(bytes)
            try? reader.readObject { reader, name throws(JSONError) in
                let slice = try reader.skipValue()
                guard let name = reader.text(of: name) else { return }
                switch slice.kind {
                case .null: columns[name] = .null
                case .string: columns[name] = .text(reader.text(of: slice) ?? "")
                default:
                    columns[name] = .other(String(decoding: bytes[slice.range], as: UTF8.self))
                }
            }
        }
        self = columns
    }

    /// The key that a column refers to; nil if it refers to none.
    func key(_ column: String) -> String? {
        switch self[column] {
        case .text(let text): text.isEmpty ? nil : WireKey.uuid(text) ?? text
        case .other(let json): WireKey.integer(json)
        case .null, nil: nil
        }
    }
}

/// Keys as clients spell them.
enum WireKey {
    /// The maximum length of a text key, in bytes of UTF-8.
    static let maximumTextBytes = 512

    /// The digits of a whole number of 64 bits, in their one form; nil for any other text.
    static func integer(_ text: String) -> String? {
        Int64(text).map { String($0) }.flatMap { $0 == text ? text : nil }
    }

    /// The lower-case form with dashes of a UUID written with or without dashes, in braces, as a
    /// URN, or as base64 of its 16 bytes.
    static func uuid(_ text: String) -> String? {
        var bare = text.lowercased()
        if bare.hasPrefix("urn:uuid:") { bare = String(bare.dropFirst(9)) }
        if bare.hasPrefix("{"), bare.hasSuffix("}") { bare = String(bare.dropFirst().dropLast()) }
        if bare.utf8.count == 32 { bare = dashed(bare) }
        if bare.utf8.count == 36, let uuid = UUID(uuidString: bare) {
            return uuid.uuidString.lowercased()
        }
        guard text.utf8.count == 24, let data = Data(base64Encoded: text), data.count == 16 else {
            return nil
        }
        return dashed(
            data.map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined())
    }

    private static func dashed(_ digits: String) -> String {
        var text = ""
        for (index, digit) in digits.enumerated() {
            if [8, 12, 16, 20].contains(index) { text.append("-") }
            text.append(digit)
        }
        return text
    }
}
