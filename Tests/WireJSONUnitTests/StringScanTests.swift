import SeededRandom
import Testing
import WireJSON

/// Strings are passed over eight bytes at a time; here a reader that takes them one by one says what is right.
@Suite("Strings, eight bytes at a time")
struct StringScanTests {
    /// Bytes next to those that end a run of plain characters, with and without the high bit.
    private static let telling: [UInt8] = [
        0x00, 0x01, 0x1E, 0x1F, 0x20, 0x21, 0x22, 0x23, 0x2F, 0x5B, 0x5C, 0x5D, 0x62, 0x75, 0x7F,
        0x80, 0x81,
        0x9F, 0xA0, 0xA1, 0xA2, 0xA3, 0xDB, 0xDC, 0xDD, 0xFE, 0xFF,
    ]

    @Test("Every byte at every place of two words, among any others, ends the string or does not")
    func everyByte() {
        var generator = SeededGenerator(seed: 8)
        for byte in UInt8.min...UInt8.max {
            for offset in 0..<17 {
                for length in [offset + 1, 17, 24] {
                    var content = (0..<length).map { _ in plain(&generator) }
                    content[offset] = byte
                    compare(content)
                }
            }
        }
    }

    @Test("Random bytes, escapes and control characters end a string where they should")
    func random() {
        var generator = SeededGenerator(seed: 9)
        for _ in 0..<100_000 {
            let length = Int.random(in: 0...40, using: &generator)
            var content: [UInt8] = []
            while content.count < length {
                switch Int.random(in: 0..<12, using: &generator) {
                case 0: content.append(Self.telling.randomElement(using: &generator) ?? 0)
                case 1: content += [0x5C] + [telling(&generator)]
                case 2: content += Array(#"\u"#.utf8) + (0..<4).map { _ in digit(&generator) }
                default: content.append(plain(&generator))
                }
            }
            compare(content)
        }
    }

    private func plain(_ generator: inout SeededGenerator) -> UInt8 {
        while true {
            let byte = UInt8.random(in: 0x20...0xFF, using: &generator)
            if byte != 0x22, byte != 0x5C { return byte }
        }
    }

    private func telling(_ generator: inout SeededGenerator) -> UInt8 {
        Array(#""\/bfnrtx"#.utf8).randomElement(using: &generator) ?? 0
    }

    private func digit(_ generator: inout SeededGenerator) -> UInt8 {
        Array("0123456789abcdefABCDEFg".utf8).randomElement(using: &generator) ?? 0
    }

    /// The string with this content, and more after it, at each place of a word.
    private func compare(_ content: [UInt8], sourceLocation: SourceLocation = #_sourceLocation) {
        for indent in 0..<8 where indent == 0 || content.count.isMultiple(of: 5) {
            var bytes = Array(repeating: UInt8(ascii: " "), count: indent)
            bytes += [0x22] + content + [0x22] + Array("  ,\"behind\"".utf8)
            let expected = end(of: bytes, from: indent)
            let found = bytes.withUnsafeBufferPointer { buffer -> Int? in
                var reader = JSONReader(buffer)
                return try? reader.readStringSlice().range.upperBound
            }
            if found != expected {
                Issue.record(
                    "\(bytes): ends at \(found ?? -1) and not \(expected ?? -1)",
                    sourceLocation: sourceLocation)
            }
        }
    }

    /// Where the string ends; nil if it is none.
    private func end(of bytes: [UInt8], from start: Int) -> Int? {
        var index = start + 1
        while index < bytes.count {
            switch bytes[index] {
            case 0x22: return index + 1
            case 0x5C:
                guard index + 1 < bytes.count else { return nil }
                if Array(#""\/bfnrt"#.utf8).contains(bytes[index + 1]) {
                    index += 2
                } else if bytes[index + 1] == UInt8(ascii: "u"), index + 5 < bytes.count,
                    bytes[(index + 2)...(index + 5)].allSatisfy(isHexDigit)
                {
                    index += 6
                } else {
                    return nil
                }
            case 0..<0x20: return nil
            default: index += 1
            }
        }
        return nil
    }

    private func isHexDigit(_ byte: UInt8) -> Bool {
        Character(Unicode.Scalar(byte)).isHexDigit && byte < 0x80
    }
}
