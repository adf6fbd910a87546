import Foundation
import Model
import SeededRandom
import Testing

@Suite("Forms of a uuid key")
struct KeyFormTests {
    private static let dashed = "0123abcd-4567-89ef-0123-456789abcdef"
    private static let key = RowKey.uuid(high: 0x0123_abcd_4567_89ef, low: 0x0123_4567_89ab_cdef)

    @Test(
        "Each usual form is read, in any case of letters",
        arguments: [
            dashed, dashed.replacing("-", with: ""), "{\(dashed)}", "urn:uuid:\(dashed)",
        ])
    func read(form: String) {
        #expect(RowKey.uuid(from: form) == Self.key)
        #expect(RowKey.uuid(from: form.uppercased()) == Self.key)
    }

    @Test(
        "Anything else is no key",
        arguments: [
            "", "-", String(dashed.dropLast()), dashed + "0", "{\(dashed)", "\(dashed)}",
            "urn:uuid:" + dashed.replacing("-", with: ""), "urn-uuid:\(dashed)",
            dashed.replacing("-", with: "0"), dashed.replacing("0123-", with: "-0123"),
        ])
    func refuse(text: String) {
        #expect(RowKey.uuid(from: text) == nil)
    }

    @Test("Of all bytes the digits alone are digits, at each place")
    func digits() {
        let usual = Array(Self.dashed.utf8)
        for place in usual.indices {
            for byte in UInt8.min...UInt8(ascii: "~") {
                var bytes = usual
                bytes[place] = byte
                let isDash = [8, 13, 18, 23].contains(place)
                let isRight =
                    isDash
                    ? byte == UInt8(ascii: "-") : Character(UnicodeScalar(byte)).isHexDigit
                let key = RowKey.uuid(from: String(decoding: bytes, as: UTF8.self))
                #expect((key != nil) == isRight, "byte \(byte) at \(place)")
            }
        }
    }

    @Test("A key comes out of its own text")
    func text() {
        var random = SeededGenerator(seed: 7)
        for _ in 0..<200 {
            let key = RowKey.uuid(
                high: random.next() as UInt64, low: random.next() as UInt64)
            #expect(RowKey.uuid(from: key.text) == key)
        }
    }
}
