import Testing

@testable import Postgres

@Suite struct ValueDecodingTests {
    private func integer(_ text: String) -> Int64? {
        Array(text.utf8).withUnsafeBytes { ValueDecoding.integer($0, .text) }
    }

    private func bytea(_ text: String) -> [UInt8]? {
        Array(text.utf8).withUnsafeBytes { ValueDecoding.bytea($0, .text) }
    }

    @Test(arguments: [Int64.min, -1, 0, 1, .max])
    func integersOfAllSizesAreRead(value: Int64) {
        #expect(integer("\(value)") == value)
    }

    @Test(arguments: ["", "-", "1a", "9223372036854775808", "-9223372036854775809", "1.0"])
    func whatIsNoIntegerIsRefused(text: String) {
        #expect(integer(text) == nil)
    }

    @Test func aByteaIsReadFromItsHexForm() {
        #expect(bytea(#"\x00ffAb"#) == [0, 255, 171])
        #expect(bytea(#"\x"#) == [])
        for wrong in ["", #"\x0"#, #"\x0g"#, "00ff"] { #expect(bytea(wrong) == nil) }
    }
}
