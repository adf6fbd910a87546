/// Appends JSON text to a byte buffer.
package protocol JSONTextBuffer {
    mutating func append(byte: UInt8)
    mutating func append(bytes: UnsafeBufferPointer<UInt8>)
}

extension [UInt8]: JSONTextBuffer {
    package mutating func append(byte: UInt8) { append(byte) }
    package mutating func append(bytes: UnsafeBufferPointer<UInt8>) { append(contentsOf: bytes) }
}

extension JSONTextBuffer {
    /// Text that is JSON already, such as a key with its quotes.
    package mutating func append(literal text: StaticString) {
        append(bytes: UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// A string in quotes, with everything escaped that must be.
    package mutating func append(jsonString text: String) {
        var text = text
        text.withUTF8 { append(jsonString: $0) }
    }

    /// A string in quotes from valid UTF-8.
    package mutating func append(jsonString text: UnsafeBufferPointer<UInt8>) {
        append(byte: UInt8(ascii: "\""))
        var plainStart = 0
        for index in 0..<text.count {
            let byte = text[index]
            guard byte < 0x20 || byte == 0x22 || byte == 0x5C else { continue }
            append(bytes: UnsafeBufferPointer(rebasing: text[plainStart..<index]))
            append(escapeOf: byte)
            plainStart = index + 1
        }
        append(bytes: UnsafeBufferPointer(rebasing: text[plainStart...]))
        append(byte: UInt8(ascii: "\""))
    }

    private mutating func append(escapeOf byte: UInt8) {
        append(byte: UInt8(ascii: "\\"))
        switch byte {
        case 0x22, 0x5C: append(byte: byte)
        case 0x0A: append(byte: UInt8(ascii: "n"))
        case 0x0D: append(byte: UInt8(ascii: "r"))
        case 0x09: append(byte: UInt8(ascii: "t"))
        default:
            append(literal: "u00")
            append(byte: lowerHexDigit(byte >> 4))
            append(byte: lowerHexDigit(byte & 0xF))
        }
    }

    /// A whole number in decimal digits.
    package mutating func append(integer value: some BinaryInteger & FixedWidthInteger) {
        if value < 0 { append(byte: UInt8(ascii: "-")) }
        var rest = value.magnitude
        var digits: (UInt64, UInt64, UInt64) = (0, 0, 0)
        withUnsafeMutableBytes(of: &digits) { buffer in
            var start = buffer.count
            repeat {
                start -= 1
                let (quotient, remainder) = rest.quotientAndRemainder(dividingBy: 10)
                buffer[start] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: remainder)
                rest = quotient
            } while rest != 0
            append(
                bytes: UnsafeBufferPointer(rebasing: buffer.bindMemory(to: UInt8.self)[start...]))
        }
    }

    package mutating func append(bool value: Bool) {
        if value { append(literal: "true") } else { append(literal: "false") }
    }

    /// Valid JSON without the white space between its tokens; strings stay byte for byte.
    package mutating func append(compacting json: UnsafeBufferPointer<UInt8>) {
        var isInString = false
        var index = 0
        while index < json.count {
            let byte = json[index]
            if isInString {
                append(byte: byte)
                if byte == UInt8(ascii: "\\"), index + 1 < json.count {
                    index += 1
                    append(byte: json[index])
                } else if byte == UInt8(ascii: "\"") {
                    isInString = false
                }
            } else if byte > 0x20 {
                append(byte: byte)
                isInString = byte == UInt8(ascii: "\"")
            }
            index += 1
        }
    }
}

/// The digit for a value from 0 to 15, lower case.
@inline(__always)
package func lowerHexDigit(_ value: UInt8) -> UInt8 {
    value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
}
