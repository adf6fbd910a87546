import Foundation
import GRDB
import WireJSON

/// A payload's value as it is bound to a statement. Text may still be a range of the page's bytes.
enum DecodedValue {
    case null
    case integer(Int64)
    case real(Double)
    case slice(Range<Int>)
    case text(String)
    case blob([UInt8])

    func value(in bytes: UnsafeBufferPointer<UInt8>) -> DatabaseValue {
        switch self {
        case .null: .null
        case .integer(let number): number.databaseValue
        case .real(let number): number.databaseValue
        case .slice(let range): String(decoding: bytes[range], as: UTF8.self).databaseValue
        case .text(let text): text.databaseValue
        case .blob(let blob): Data(blob).databaseValue
        }
    }
}

/// Why a payload does not fit this table.
struct RowFlaw: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}

/// Decodes a payload's values by the affinity of their columns, without losing digits.
struct ValueDecoder {
    let bytes: UnsafeBufferPointer<UInt8>

    /// - Throws: what is wrong with the value, as a text to follow the column's name.
    func decode(_ slice: JSONSlice, as affinity: Affinity) throws(RowFlaw) -> DecodedValue {
        if let flaw = slice.flaw, slice.kind == .string, flaw != .nulCharacter {
            throw RowFlaw(flaw.description)
        }
        switch slice.kind {
        case .null: return .null
        case .bool where affinity == .json, .string where affinity == .json:
            return .slice(slice.range)
        case .bool: return .integer(bytes[slice.range.lowerBound] == UInt8(ascii: "t") ? 1 : 0)
        case .number: return number(slice, as: affinity)
        case .string: return try string(slice, as: affinity)
        case .object, .array:
            var text: [UInt8] = []
            text.append(compacting: UnsafeBufferPointer(rebasing: bytes[slice.range]))
            return .text(String(decoding: text, as: UTF8.self))
        }
    }

    /// A text column keeps the digits as they were written. A number column takes an exact integer
    /// if possible, otherwise a double.
    private func number(_ slice: JSONSlice, as affinity: Affinity) -> DecodedValue {
        if affinity == .text { return .slice(slice.range) }
        if affinity != .real, let integer = JSONReader.integer(of: slice, in: bytes) {
            return .integer(integer)
        }
        let text = String(decoding: bytes[slice.range], as: UTF8.self)
        return Double(text).map(DecodedValue.real) ?? .text(text)
    }

    private func string(_ slice: JSONSlice, as affinity: Affinity) throws(RowFlaw) -> DecodedValue {
        guard affinity == .blob else {
            if !slice.hasEscapes { return .slice(slice.content) }
            guard let text = JSONReader.text(of: slice, in: bytes) else {
                throw RowFlaw("is not valid Unicode")
            }
            return .text(text)
        }
        guard let text = JSONReader.text(of: slice, in: bytes), let blob = Self.blob(text) else {
            throw RowFlaw("is neither a UUID, nor base64, nor hexadecimal")
        }
        return .blob(blob)
    }

    static func base64(_ bytes: [UInt8]) -> String { Data(bytes).base64EncodedString() }

    /// The bytes of a text in a BLOB column: a dashed UUID, else base64 that encodes back to the
    /// same text, else hexadecimal.
    static func blob(_ text: String) -> [UInt8]? {
        if text.utf8.count == 36, let uuid = KeyForm.bytes(ofUUID: text) { return uuid }
        if let data = Data(base64Encoded: text), data.base64EncodedString() == text {
            return Array(data)
        }
        return Hex.decode(text.utf8)
    }
}
