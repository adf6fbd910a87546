import Foundation
import Sidecar
import WireJSON

/// Whether a column takes a value of a payload, by the kind of both.
///
/// PostgreSQL reads each value's text as the column's type, and much can be read as something that
/// nobody meant: a number as a date, `true` as base64, an array as a range. Such values are refused
/// here. A value of another kind that means the same, such as `"5"` for a number, is taken, and the
/// change gets the stored row as its payload: all devices see the kind that the column has.
struct ValueRule: Sendable {
    enum Verdict {
        /// The value is of the column's kind, or in a form that devices send for it.
        case own
        /// The value is of another kind, and PostgreSQL decides whether it can be converted.
        case converted
        /// - Parameter reason: what the column does not take.
        case refused(_ reason: String)
    }

    /// The largest number that is taken for seconds since 1970, the end of the year 9999: a larger
    /// one counts milliseconds.
    private static let largestSeconds: Double = 253_402_300_799
    /// Bytes of a date without dashes. PostgreSQL takes more digits for a later year.
    private static let compactDateBytes = 8
    /// Bytes of a date without dashes and with two digits for the year.
    private static let shortDateBytes = 6
    /// Bytes of a UUID with dashes.
    private static let uuidBytes = 36
    /// Bytes of a UUID in base64, which a BLOB column of a device gives.
    private static let base64UUIDBytes = 24

    private let kind: ColumnKind
    private let type: String

    /// - Returns: nil for a column that payloads do not write, or that takes all.
    init?(_ column: Column, of table: RegisteredTable) {
        let kind = ColumnKind(column)
        if column.isReadOnly || kind == .json { return nil }
        if column.name == table.keyColumn || column.name == table.ownerColumn { return nil }
        self.kind = kind
        type = column.typeName
    }

    /// - Parameter slice: of any kind but null.
    func judge(_ slice: JSONSlice, _ reader: JSONReader) -> Verdict {
        switch judge(slice, as: kind, reader) {
        case .refused(let what): .refused("of type \(type) takes \(what)")
        case let verdict: verdict
        }
    }

    private func judge(
        _ slice: JSONSlice, as kind: ColumnKind, _ reader: JSONReader
    ) -> Verdict {
        switch slice.kind {
        case .null: .own
        case .bool: Self.boolean(kind)
        case .number: number(slice, kind, reader)
        case .string: string(slice, kind, reader)
        case .object:
            switch kind {
            case .json, .composite, .hstore: .own
            case .text, .unknown: .converted
            default: .refused("no object")
            }
        case .array: array(slice, kind, reader)
        }
    }

    private static func boolean(_ kind: ColumnKind) -> Verdict {
        switch kind {
        case .boolean, .json: .own
        case .text, .unknown: .converted
        default: .refused("no boolean")
        }
    }

    private func number(
        _ slice: JSONSlice, _ kind: ColumnKind, _ reader: JSONReader
    ) -> Verdict {
        let digits = reader.bytes[slice.range]
        switch kind {
        case .json, .float, .decimal: return .own
        case .text, .digits, .unknown: return .converted
        case .integer:
            return digits.contains { [UInt8(ascii: "."), 0x45, 0x65].contains($0) }
                ? .refused("whole numbers without a point or an exponent") : .own
        case .boolean:
            guard digits.count == 1, digits.first == UInt8(ascii: "0") || digits.first == 0x31
            else { return .refused("no number but 0 and 1") }
            return isColumn(kind) ? .own : .converted
        case .instant where isColumn(kind):
            let seconds = Double(String(decoding: digits, as: UTF8.self)) ?? .infinity
            return abs(seconds) <= Self.largestSeconds
                ? .own : .refused("no number but seconds since 1970, up to the year 9999")
        default: return .refused("no number")
        }
    }

    private func string(
        _ slice: JSONSlice, _ kind: ColumnKind, _ reader: JSONReader
    ) -> Verdict {
        let text = reader.bytes[slice.content]
        switch kind {
        case .json, .clock, .text, .other, .unknown: return .own
        // An empty text is stored as NULL.
        case .uuid:
            return Self.isUUID(text) || text.count == Self.base64UUIDBytes ? .own : .converted
        case .digits: return text.isEmpty ? .converted : .own
        case .array(.hexadecimal): return .refused("no text")
        // A text that it cannot read is an internal error of the extension's.
        case .hstore: return .refused("no text")
        case .boolean, .integer, .array, .composite: return .converted
        case .float: return Self.isNoNumber(text) ? .own : .converted
        case .decimal:
            return isColumn(kind) && Self.isDecimal(text) || Self.isNoNumber(text)
                ? .own : .converted
        case .bytes:
            return Self.isBase64(slice, reader) || Self.isUUID(text) ? .own : .converted
        case .hexadecimal:
            // PostgreSQL takes any other text for bytes as they are.
            return reader.text(of: slice)?.hasPrefix("\\x") == true
                ? .own : .refused("bytes as \\x and hexadecimal digits alone")
        case .date:
            return text.prefix { Self.isDigit($0) }.count > Self.compactDateBytes
                ? .refused("this text has too many digits: write a date as 2026-01-31") : .own
        case .instant: return instant(text)
        }
    }

    /// Digits alone are seconds since 1970, in a string, too: but not so many or so few that they
    /// are rather milliseconds, or a date.
    private func instant(_ text: Slice<UnsafeBufferPointer<UInt8>>) -> Verdict {
        guard let first = text.first, first == UInt8(ascii: "-") || Self.isDigit(first),
            Self.areDigits(text.dropFirst())
        else { return .own }
        let seconds = Double(String(decoding: text, as: UTF8.self)) ?? .infinity
        let mayBeDate = [Self.shortDateBytes, Self.compactDateBytes].contains(text.count)
        return isColumn(.instant) && !mayBeDate && abs(seconds) <= Self.largestSeconds
            ? .own : .refused("no text of digits alone: write a time as 2026-01-31T12:00:00Z")
    }

    private func array(
        _ slice: JSONSlice, _ kind: ColumnKind, _ reader: JSONReader
    ) -> Verdict {
        switch kind {
        case .json: return .own
        case .text, .unknown: return .converted
        case .array(let element):
            return elements(slice, of: element, reader)
        default: return .refused("no array")
        }
    }

    /// The worst verdict on an element. Arrays in arrays are of the same type.
    private func elements(
        _ slice: JSONSlice, of kind: ColumnKind, _ reader: JSONReader
    ) -> Verdict {
        var worst = Verdict.own
        var inner = JSONReader(UnsafeBufferPointer(rebasing: reader.bytes[slice.range]))
        // It was read before.
        try? inner.readArray { inner throws(JSONError) in
            let element = try inner.skipValue()
            if case .refused = worst { return }
            let verdict =
                element.kind == .array && kind != .json
                ? elements(element, of: kind, inner) : judge(element, as: kind, inner)
            switch verdict {
            case .own: break
            case .converted: worst = .converted
            case .refused(let what): worst = .refused("\(what) among its elements")
            }
        }
        return worst
    }

    /// False within an array, where PostgreSQL reads all values by itself.
    private func isColumn(_ kind: ColumnKind) -> Bool { kind == self.kind }

    // MARK: - Texts

    private static func isDigit(_ byte: UInt8) -> Bool { byte &- UInt8(ascii: "0") < 10 }

    private static func areDigits(_ text: some Collection<UInt8>) -> Bool {
        text.allSatisfy { isDigit($0) || $0 == UInt8(ascii: ".") }
    }

    private static func isUUID(_ text: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
        text.count == uuidBytes && text.contains(UInt8(ascii: "-"))
    }

    /// A number as JSON or SQLite writes it.
    private static func isDecimal(_ text: some Collection<UInt8>) -> Bool {
        !text.isEmpty && text.allSatisfy { isDigit($0) || "+-.eE".utf8.contains($0) }
    }

    /// What PostgreSQL writes as a string in a column of numbers.
    private static func isNoNumber(_ text: some Collection<UInt8>) -> Bool {
        ["NaN", "Infinity", "-Infinity"].contains { $0.utf8.elementsEqual(text) }
    }

    /// The base64 that PostgreSQL writes for the same bytes: without white space, and nothing in
    /// the bits after the last byte.
    private static func isBase64(_ slice: JSONSlice, _ reader: JSONReader) -> Bool {
        if slice.hasEscapes {
            return reader.text(of: slice).map { isBase64(Array($0.utf8)[...]) } ?? false
        }
        return isBase64(reader.bytes[slice.content])
    }

    private static func isBase64(_ text: some BidirectionalCollection<UInt8>) -> Bool {
        guard text.count % 4 == 0 else { return false }
        let padding = text.suffix(2).filter { $0 == UInt8(ascii: "=") }.count
        let digits = text.dropLast(padding)
        guard digits.allSatisfy({ base64Value[Int($0)] < 64 }) else { return false }
        // Bits of the last digit that belong to no byte.
        let unused = padding * 2
        return digits.last.map { base64Value[Int($0)] & (1 << unused - 1) == 0 } ?? true
    }

    /// The value of each byte as a digit of base64; 64 for others.
    private static let base64Value: [UInt8] = {
        var values = [UInt8](repeating: 64, count: 256)
        let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        for (value, digit) in digits.utf8.enumerated() { values[Int(digit)] = UInt8(value) }
        return values
    }()
}
