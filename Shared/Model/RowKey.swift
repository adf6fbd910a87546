/// How a table's key is written in the sidecar and on the wire.
package enum KeyKind: String, Hashable, Sendable, CaseIterable {
    /// 16 bytes; on the wire as dashed lower-case hexadecimal digits.
    case uuid
    /// Any text of 1 to `RowKey.maximumTextBytes` bytes without U+0000, compared byte for byte.
    case text
    /// A whole number of at most 64 bits; on the wire, and in the sidecar, as its decimal digits.
    case integer

    /// Clients that do not ask for the kind see nothing of its tables: they may be older than it.
    package var mustBeAskedFor: Bool { self == .integer }
}

/// The key of one row.
package enum RowKey: Hashable, Sendable {
    case uuid(high: UInt64, low: UInt64)
    case text(String)
    case integer(Int64)

    /// Longest text key in UTF-8 bytes: it stands in three indexes.
    package static let maximumTextBytes = 512
    /// Bytes of a uuid as the sidecar keeps it.
    private static let uuidBytes = 16

    /// Reads a key of the given kind as devices write it; nil if it is not one.
    package init?(_ text: String, kind: KeyKind) {
        switch kind {
        case .uuid:
            guard let uuid = Self.uuid(from: text) else { return nil }
            self = uuid
        case .text:
            // `hashValue` and `==` of String join canonical equivalents; the database does not.
            guard (1...Self.maximumTextBytes).contains(text.utf8.count),
                // PostgreSQL has no text with it.
                !text.utf8.contains(0)
            else { return nil }
            self = .text(text)
        case .integer:
            guard let number = Self.integer(from: text) else { return nil }
            self = .integer(number)
        }
    }

    /// Reads the 16 bytes or the UTF-8 text that the sidecar keeps.
    package init?(stored bytes: UnsafeBufferPointer<UInt8>, kind: KeyKind) {
        switch kind {
        case .uuid:
            guard bytes.count == Self.uuidBytes else { return nil }
            let words = UnsafeRawBufferPointer(bytes)
            self = .uuid(
                high: UInt64(bigEndian: words.loadUnaligned(as: UInt64.self)),
                low: UInt64(bigEndian: words.loadUnaligned(fromByteOffset: 8, as: UInt64.self)))
        case .text:
            guard let text = String(validating: bytes, as: UTF8.self) else { return nil }
            self = .text(text)
        case .integer:
            guard let text = String(validating: bytes, as: UTF8.self),
                let number = Self.integer(from: text)
            else { return nil }
            self = .integer(number)
        }
    }

    /// Calls `body` with the bytes that the sidecar keeps for this key.
    package func withStoredBytes<R>(_ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
        switch self {
        case .uuid(let high, let low):
            try withUnsafeBytes(of: (high.bigEndian, low.bigEndian)) { try body($0) }
        case .text(var text):
            try text.withUTF8 { try body(UnsafeRawBufferPointer($0)) }
        case .integer(let number): try Self.withDigits(of: number, body)
        }
    }

    private static func withDigits<R>(
        of number: Int64, _ body: (UnsafeRawBufferPointer) throws -> R
    ) rethrows -> R {
        var text = String(number)
        return try text.withUTF8 { try body(UnsafeRawBufferPointer($0)) }
    }

    /// The key as the wire writes it, without quotes.
    package var text: String {
        switch self {
        case .uuid(let high, let low):
            String(unsafeUninitializedCapacity: Self.dashedBytes) {
                Self.writeDashed(high, low, into: UnsafeMutableRawBufferPointer($0))
                return Self.dashedBytes
            }
        case .text(let text): text
        case .integer(let number): String(number)
        }
    }

    /// Reads a number in the one form that a key has: `-5`, `0`, `42`. No two texts are one key.
    private static func integer(from text: String) -> Int64? {
        guard let number = Int64(text), String(number).utf8.elementsEqual(text.utf8) else {
            return nil
        }
        return number
    }

    package static func == (a: RowKey, b: RowKey) -> Bool {
        switch (a, b) {
        case (.uuid(let ah, let al), .uuid(let bh, let bl)): ah == bh && al == bl
        case (.text(let a), .text(let b)): a.utf8.elementsEqual(b.utf8)
        case (.integer(let a), .integer(let b)): a == b
        default: false
        }
    }

    package func hash(into hasher: inout Hasher) {
        withStoredBytes { hasher.combine(bytes: $0) }
    }
}

extension RowKey {
    /// Reads a uuid in any usual form: dashed, 32 digits, in braces, or as a URN; upper or lower case.
    package static func uuid(from text: String) -> RowKey? {
        var text = text
        return text.withUTF8 { bytes in
            var digits = bytes[...]
            if bytes.count == urnPrefix.utf8.count + dashedBytes,
                zip(bytes, urnPrefix.utf8).allSatisfy({ asciiLowercased($0) == $1 })
            {
                digits = digits.dropFirst(urnPrefix.utf8.count)
            } else if bytes.count == dashedBytes + 2, bytes.first == UInt8(ascii: "{"),
                bytes.last == UInt8(ascii: "}")
            {
                digits = digits.dropFirst().dropLast()
            }
            return uuid(digits: UnsafeBufferPointer(rebasing: digits))
        }
    }

    private static let urnPrefix = "urn:uuid:"

    private static func asciiLowercased(_ byte: UInt8) -> UInt8 {
        byte &- UInt8(ascii: "A") < 26 ? byte | 0x20 : byte
    }

    /// Reads 32 digits, with the four dashes or without.
    private static func uuid(digits: UnsafeBufferPointer<UInt8>) -> RowKey? {
        let isDashed = digits.count == dashedBytes
        guard isDashed || digits.count == 2 * uuidBytes else { return nil }
        var words: (high: UInt64, low: UInt64) = (0, 0)
        var count = 0
        for place in digits.indices {
            let byte = digits[place]
            if isDashed, place == 8 || place == 13 || place == 18 || place == 23 {
                guard byte == UInt8(ascii: "-") else { return nil }
                continue
            }
            let letter = (byte | 0x20) &- UInt8(ascii: "a")
            let decimal = byte &- UInt8(ascii: "0")
            let digit: UInt8
            if decimal < 10 {
                digit = decimal
            } else if letter < 6, byte >= UInt8(ascii: "A") {
                digit = letter + 10
            } else {
                return nil
            }
            if count < uuidBytes {
                words.high = words.high << 4 | UInt64(digit)
            } else {
                words.low = words.low << 4 | UInt64(digit)
            }
            count += 1
        }
        return .uuid(high: words.high, low: words.low)
    }

    /// Bytes of a dashed uuid.
    package static let dashedBytes = 36

    /// Writes a dashed uuid. Pages have one in each row: eight digits are made at a time.
    package static func writeDashed(
        _ high: UInt64, _ low: UInt64, into text: UnsafeMutableRawBufferPointer
    ) {
        precondition(text.count >= dashedBytes, "no room for a uuid")
        func put(eight digits: UInt64, at place: Int) {
            text.storeBytes(of: digits.bigEndian, toByteOffset: place, as: UInt64.self)
        }
        func put(lastFourOf digits: UInt64, at place: Int) {
            let four = UInt32(truncatingIfNeeded: digits)
            text.storeBytes(of: four.bigEndian, toByteOffset: place, as: UInt32.self)
        }
        func putDash(at place: Int) { text[place] = UInt8(ascii: "-") }
        let (secondAndThird, fourthAndFifth) = (hexDigits(high), hexDigits(low >> 32))
        put(eight: hexDigits(high >> 32), at: 0)
        putDash(at: 8)
        put(lastFourOf: secondAndThird >> 32, at: 9)
        putDash(at: 13)
        put(lastFourOf: secondAndThird, at: 14)
        putDash(at: 18)
        put(lastFourOf: fourthAndFifth >> 32, at: 19)
        putDash(at: 23)
        put(lastFourOf: fourthAndFifth, at: 24)
        put(eight: hexDigits(low), at: 28)
    }

    /// The lower 32 bits as eight hexadecimal digits, the first in the highest byte.
    private static func hexDigits(_ value: UInt64) -> UInt64 {
        var digits = value & 0xFFFF_FFFF
        digits = (digits | digits << 16) & 0x0000_FFFF_0000_FFFF
        digits = (digits | digits << 8) & 0x00FF_00FF_00FF_00FF
        digits = (digits | digits << 4) & 0x0F0F_0F0F_0F0F_0F0F
        // In each byte 1 where the digit is a letter.
        let letters = (digits + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101
        let beyondNine = UInt64(UInt8(ascii: "a") - UInt8(ascii: "9") - 1)
        return digits + 0x3030_3030_3030_3030 + letters * beyondNine
    }
}
