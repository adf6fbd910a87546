import Model
import Testing

@Suite("Forms of an integer key")
struct IntegerKeyFormTests {
    @Test(
        "A number has one form, and comes out of its own bytes",
        arguments: [0, 1, -1, 42, 10, -100, .max, .min] as [Int64])
    func forms(number: Int64) {
        let key = RowKey("\(number)", kind: .integer)
        #expect(key == .integer(number))
        #expect(key?.text == "\(number)")
        let bytes = key?.withStoredBytes { Array($0) } ?? []
        #expect(bytes == Array("\(number)".utf8))
        let stored = bytes.withUnsafeBufferPointer { RowKey(stored: $0, kind: .integer) }
        #expect(stored == key)
    }

    @Test(
        "Anything else is no key",
        arguments: [
            "", "-", "+1", "01", "-01", "-0", "1.0", "1e2", " 1", "1 ", "0x1", "1_000", "\u{661}",
            "9223372036854775808", "-9223372036854775809", "1\u{0}",
        ])
    func refused(text: String) {
        #expect(RowKey(text, kind: .integer) == nil)
        let stored = Array(text.utf8).withUnsafeBufferPointer {
            RowKey(stored: $0, kind: .integer)
        }
        #expect(stored == nil)
    }

    @Test("A number is not the text that spells it")
    func kinds() {
        let keys: Set<RowKey> = [.integer(1), .text("1"), .integer(1)]
        #expect(keys.count == 2)
    }
}
