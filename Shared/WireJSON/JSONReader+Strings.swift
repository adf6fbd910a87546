extension JSONReader {
    /// Passes over the string whose opening quote is at `position`.
    mutating func scanString() throws(JSONError) -> JSONSlice {
        let start = position
        let flawBefore = flaw
        flaw = nil
        var hasEscapes = false
        position += 1
        while true {
            passPlainCharacters()
            guard position < bytes.count else {
                throw JSONError("a string is not closed", at: start)
            }
            switch bytes[position] {
            case UInt8(ascii: "\""):
                position += 1
                let own = flaw
                flaw = flawBefore ?? own
                return JSONSlice(
                    kind: .string, range: start..<position, flaw: own, hasEscapes: hasEscapes,
                    hasWhitespace: false)
            case UInt8(ascii: "\\"):
                hasEscapes = true
                try scanEscape()
            default: throw error("a control character inside a string must be escaped")
            }
        }
    }

    /// Moves to the next quote, backslash or control character, eight bytes at a time.
    @inline(__always)
    private mutating func passPlainCharacters() {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let highs: UInt64 = 0x8080_8080_8080_8080
        let base = UnsafeRawPointer(bytes.baseAddress)
        while let base, position + 8 <= bytes.count {
            let word = UInt64(
                littleEndian: base.loadUnaligned(fromByteOffset: position, as: UInt64.self))
            let quote = word ^ (ones &* 0x22)
            let backslash = word ^ (ones &* 0x5C)
            let control = word & (ones &* 0xE0)
            let stops =
                ((quote &- ones) & ~quote) | ((backslash &- ones) & ~backslash)
                | ((control &- ones) & ~control)
            // Above the lowest mark there may be false ones, borrowed from it; below it there is none.
            let marks = stops & highs
            if marks != 0 {
                position += marks.trailingZeroBitCount / 8
                return
            }
            position += 8
        }
        while position < bytes.count {
            let byte = bytes[position]
            if byte == 0x22 || byte == 0x5C || byte < 0x20 { return }
            position += 1
        }
    }

    private mutating func scanEscape() throws(JSONError) {
        position += 1
        guard position < bytes.count else { throw error("the text ends inside an escape") }
        switch bytes[position] {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"),
            UInt8(ascii: "f"), UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            position += 1
        case UInt8(ascii: "u"): try scanUnicodeEscape()
        default: throw error("no such escape")
        }
    }

    private mutating func scanUnicodeEscape() throws(JSONError) {
        position += 1
        let unit = try scanHexUnit()
        switch unit {
        case 0: remember(.nulCharacter)
        case 0xD800..<0xDC00:
            let isPair =
                position + 1 < bytes.count && bytes[position] == UInt8(ascii: "\\")
                && bytes[position + 1] == UInt8(ascii: "u")
            guard isPair else { return remember(.loneSurrogate) }
            let second = position
            position += 2
            if !(0xDC00..<0xE000).contains(try scanHexUnit()) {
                // The second escape may start a pair of its own: judge it alone.
                position = second
                remember(.loneSurrogate)
            }
        case 0xDC00..<0xE000: remember(.loneSurrogate)
        default: break
        }
    }

    private mutating func scanHexUnit() throws(JSONError) -> UInt16 {
        guard position + 4 <= bytes.count else { throw error("the text ends inside an escape") }
        var unit: UInt16 = 0
        for _ in 0..<4 {
            guard let digit = hexDigit(bytes[position]) else {
                throw error("four hexadecimal digits were expected")
            }
            unit = unit << 4 | UInt16(digit)
            position += 1
        }
        return unit
    }

    /// The characters of a string slice; nil if they are not valid Unicode.
    package func text(of slice: JSONSlice) -> String? { Self.text(of: slice, in: bytes) }

    /// A whole number that fits 64 bits; nil for fractions, exponents and anything larger.
    package func integer(of slice: JSONSlice) -> Int64? { Self.integer(of: slice, in: bytes) }

    /// The same for a caller that has the bytes and no reader.
    package static func text(of slice: JSONSlice, in bytes: UnsafeBufferPointer<UInt8>) -> String? {
        if slice.flaw == .loneSurrogate { return nil }
        return slice.hasEscapes
            ? String(validating: unescaped(slice, in: bytes), as: UTF8.self)
            : String(validating: UnsafeBufferPointer(rebasing: bytes[slice.content]), as: UTF8.self)
    }

    /// The same for a caller that has the bytes and no reader.
    package static func integer(of slice: JSONSlice, in bytes: UnsafeBufferPointer<UInt8>) -> Int64?
    {
        slice.kind == .number ? integer(in: slice.range, of: bytes) : nil
    }

    /// - Parameter range: of a number.
    static func integer(in range: Range<Int>, of bytes: UnsafeBufferPointer<UInt8>) -> Int64? {
        var index = range.lowerBound
        let isNegative = bytes[index] == UInt8(ascii: "-")
        if isNegative { index += 1 }
        var value: Int64 = 0
        while index < range.upperBound {
            let digit = bytes[index] &- UInt8(ascii: "0")
            guard digit < 10 else { return nil }
            let (product, tooBig) = value.multipliedReportingOverflow(by: 10)
            let (sum, over) =
                isNegative
                ? product.subtractingReportingOverflow(Int64(digit))
                : product.addingReportingOverflow(Int64(digit))
            if tooBig || over { return nil }
            value = sum
            index += 1
        }
        return value
    }

    /// Whether a key is `name`, upper and lower case being the same (as Go clients' decoders have it).
    /// `name` is lower case ASCII.
    @inlinable
    package func key(_ slice: JSONSlice, is name: StaticString) -> Bool {
        let content = slice.content
        // Most names are ruled out here, in the caller's own code.
        guard content.count == name.utf8CodeUnitCount else { return false }
        return hasKey(at: content.lowerBound, name)
    }

    @usableFromInline
    package func hasKey(at start: Int, _ name: StaticString) -> Bool {
        for offset in 0..<name.utf8CodeUnitCount {
            let byte = bytes[start + offset]
            let lower = byte &- 0x41 < 26 ? byte | 0x20 : byte
            if lower != name.utf8Start[offset] { return false }
        }
        return true
    }
}

/// The bytes of a string slice with its escapes resolved. Lone surrogates become U+FFFD.
func unescaped(_ slice: JSONSlice, in bytes: UnsafeBufferPointer<UInt8>) -> [UInt8] {
    var result: [UInt8] = []
    result.reserveCapacity(slice.content.count)
    var index = slice.content.lowerBound
    let end = slice.content.upperBound
    func unit(at start: Int) -> UInt32 {
        (start..<start + 4).reduce(0) { $0 << 4 | UInt32(hexDigit(bytes[$1]) ?? 0) }
    }
    while index < end {
        guard bytes[index] == UInt8(ascii: "\\") else {
            result.append(bytes[index])
            index += 1
            continue
        }
        switch bytes[index + 1] {
        case UInt8(ascii: "b"): result.append(0x08)
        case UInt8(ascii: "f"): result.append(0x0C)
        case UInt8(ascii: "n"): result.append(0x0A)
        case UInt8(ascii: "r"): result.append(0x0D)
        case UInt8(ascii: "t"): result.append(0x09)
        case UInt8(ascii: "u"):
            var scalar = unit(at: index + 2)
            if (0xD800..<0xDC00).contains(scalar), index + 12 <= end,
                bytes[index + 6] == UInt8(ascii: "\\"), bytes[index + 7] == UInt8(ascii: "u")
            {
                let low = unit(at: index + 8)
                if (0xDC00..<0xE000).contains(low) {
                    scalar = 0x10000 + (scalar - 0xD800) << 10 + (low - 0xDC00)
                    index += 6
                }
            }
            result.append(contentsOf: Character(Unicode.Scalar(scalar) ?? "\u{FFFD}").utf8)
            index += 4
        default: result.append(bytes[index + 1])
        }
        index += 2
    }
    return result
}

/// The value of one hexadecimal digit.
@inline(__always)
package func hexDigit(_ byte: UInt8) -> UInt8? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): byte - UInt8(ascii: "0")
    case UInt8(ascii: "a")...UInt8(ascii: "f"): byte - UInt8(ascii: "a") + 10
    case UInt8(ascii: "A")...UInt8(ascii: "F"): byte - UInt8(ascii: "A") + 10
    default: nil
    }
}
