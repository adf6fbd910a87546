import WireJSON

/// Decides whether a column gives a value of the server back as it came.
///
/// `true` and `false` count as 1 and 0, and a number in a TEXT column as its digits: the server
/// takes both for the same value, but in a column of JSON.
enum Exactness {
    /// - Parameters:
    ///   - isOfJSON: the server's column is one of JSON.
    ///   - bytes: the bytes that the slice is a part of.
    static func returns(
        _ slice: JSONSlice, as affinity: Affinity, isOfJSON: Bool = false,
        in bytes: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        switch slice.kind {
        case .null: true
        case .bool: affinity == .json || !isOfJSON
        case .number where affinity == .text: !isOfJSON
        case .number: returnsNumber(slice, as: affinity, in: bytes)
        case .string: returnsString(slice, as: affinity, in: bytes)
        case .object, .array: affinity == .json
        }
    }

    private static func returnsNumber(
        _ slice: JSONSlice, as affinity: Affinity, in bytes: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        let text = String(decoding: bytes[slice.range], as: UTF8.self)
        if affinity != .real, let integer = JSONReader.integer(of: slice, in: bytes) {
            return text == "\(integer)"
        }
        guard let number = Double(text) else { return false }
        // SQLite stores a whole number of a NUMERIC column as an integer.
        if affinity != .real, let integer = Int64(exactly: number) { return text == "\(integer)" }
        return text == "\(number)"
    }

    private static func returnsString(
        _ slice: JSONSlice, as affinity: Affinity, in bytes: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        switch affinity {
        case .text, .none, .json: return true
        case .integer, .real, .numeric:
            return JSONReader.text(of: slice, in: bytes).map { !isNumber($0) } ?? true
        case .blob:
            guard let text = JSONReader.text(of: slice, in: bytes),
                let blob = ValueDecoder.blob(text)
            else { return true }
            return ValueDecoder.base64(blob) == text
        }
    }

    /// Whether SQLite makes a number of a text in a column of numbers.
    static func isNumber(_ text: String) -> Bool {
        let spaces: Set<Character> = [" ", "\t", "\n", "\r", "\u{B}", "\u{C}", "\r\n"]
        let bare = text.drop { spaces.contains($0) }.reversed().drop { spaces.contains($0) }
        guard bare.allSatisfy({ "0123456789+-.eE".contains($0) }) else { return false }
        var digits = String(bare.reversed())
        // Swift wants a digit on both sides of the point.
        if digits.hasSuffix(".") { digits += "0" }
        return Double(digits.replacing(".e", with: ".0e").replacing(".E", with: ".0E")) != nil
            || Double("0" + digits) != nil
    }
}

/// A value that a column cannot give back.
struct ExactValue: Hashable, Sendable {
    /// The column's name in a payload.
    let column: String
    /// The value's JSON as it came.
    let wire: String
}
