import Foundation
import GRDB

/// A row's key as it is sent and as all metadata names it: a lower-case UUID with dashes, the app's
/// text, or the digits of a number.
struct DeviceRowKey: Hashable, Sendable {
    let wire: String
}

/// How a table spells its keys, and how the spelling maps to the wire's.
enum KeyForm: Sendable, Hashable {
    case uuidText, uuidBlob, text, integer

    /// The maximum length of a text key in the protocol, in bytes of UTF-8.
    static let maximumTextBytes = 512

    /// The wire's key for a key as the row holds it; nil if it cannot be sent.
    func key(fromLocal value: DatabaseValue) -> DeviceRowKey? {
        switch (self, value.storage) {
        case (.uuidText, .string(let text)): Self.canonicalUUID(text).map(DeviceRowKey.init)
        case (.uuidBlob, .blob(let data)) where data.count == 16:
            DeviceRowKey(wire: Self.dashed(Array(data)))
        case (.text, .string(let text)): Self.fits(text) ? DeviceRowKey(wire: text) : nil
        case (.integer, .int64(let number)): DeviceRowKey(wire: String(number))
        // As a column that is not declared INTEGER refers to it.
        case (.integer, .string(let text)): key(fromWire: text)
        default: nil
        }
    }

    /// The key for a `pk` from the server; nil if it does not fit this table.
    func key(fromWire text: String) -> DeviceRowKey? {
        switch self {
        case .uuidText, .uuidBlob: Self.canonicalUUID(text).map(DeviceRowKey.init)
        case .text: Self.fits(text) ? DeviceRowKey(wire: text) : nil
        case .integer: Self.number(of: text) == nil ? nil : DeviceRowKey(wire: text)
        }
    }

    /// The spelling of a key that this device has not seen spelled before.
    func local(_ key: DeviceRowKey) -> DatabaseValue {
        switch self {
        case .uuidText, .text: key.wire.databaseValue
        case .uuidBlob: Self.bytes(ofUUID: key.wire).map { Data($0).databaseValue } ?? .null
        case .integer: Self.number(of: key.wire)?.databaseValue ?? .null
        }
    }

    /// Whether one key can be spelled in several ways here, or otherwise than on the wire in
    /// references to it.
    var hasSpellings: Bool { self == .uuidText || self == .uuidBlob }

    /// The number that a key's digits are; nil for any other text, such as `+1` or `01`.
    private static func number(of text: String) -> Int64? {
        guard let number = Int64(text), String(number) == text else { return nil }
        return number
    }

    private static func fits(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= maximumTextBytes
    }

    /// The lower-case form with dashes of a UUID written with or without dashes, in any case;
    /// otherwise nil.
    static func canonicalUUID(_ text: String) -> String? {
        if text.utf8.count == 36, isCanonical(text) { return text }
        return bytes(ofUUID: text).map(dashed)
    }

    private static func isCanonical(_ text: String) -> Bool {
        var text = text
        return text.withUTF8 { bytes in
            let dash = UInt8(ascii: "-")
            guard bytes.count == 36, bytes[8] == dash, bytes[13] == dash, bytes[18] == dash,
                bytes[23] == dash
            else { return false }
            var hexDigits = 0
            for byte in bytes where byte &- 0x30 < 10 || byte &- 0x61 < 6 { hexDigits += 1 }
            return hexDigits == 32
        }
    }

    /// The 16 bytes of a UUID written as 36 characters with dashes or 32 without; otherwise nil.
    static func bytes(ofUUID text: String) -> [UInt8]? {
        bytes(ofUUID: Array(text.utf8)[...])
    }

    /// The same, from UTF-8.
    static func bytes(ofUUID text: ArraySlice<UInt8>) -> [UInt8]? {
        guard text.count == 36 || text.count == 32 else { return nil }
        var result: [UInt8] = []
        result.reserveCapacity(16)
        var high: UInt8?
        for (offset, byte) in text.enumerated() {
            if text.count == 36, [8, 13, 18, 23].contains(offset) {
                guard byte == UInt8(ascii: "-") else { return nil }
                continue
            }
            guard let digit = Hex.value(of: byte) else { return nil }
            if let first = high {
                result.append(first << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        }
        return result
    }

    static func dashed(_ bytes: [UInt8]) -> String {
        var text: [UInt8] = []
        text.reserveCapacity(36)
        for (index, byte) in bytes.enumerated() {
            if [4, 6, 8, 10].contains(index) { text.append(UInt8(ascii: "-")) }
            text.append(Hex.digit(byte >> 4))
            text.append(Hex.digit(byte & 0xF))
        }
        return String(decoding: text, as: UTF8.self)
    }
}

/// Hexadecimal digits.
enum Hex {
    static func value(of byte: UInt8) -> UInt8? {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
        case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
        default: nil
        }
    }

    static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }

    /// The bytes of an even number of hexadecimal digits; otherwise nil.
    static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        guard text.count.isMultiple(of: 2) else { return nil }
        var result: [UInt8] = []
        var high: UInt8?
        for byte in text {
            guard let digit = value(of: byte) else { return nil }
            if let first = high {
                result.append(first << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        }
        return result
    }
}
