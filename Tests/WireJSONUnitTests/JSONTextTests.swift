import Foundation
import Testing
import WireJSON

@Suite("JSON text")
struct JSONTextTests {
    @Test("Every character below 128 survives being quoted and read by Foundation")
    func quoting() throws {
        let text =
            String(String.UnicodeScalarView((0..<128).compactMap(Unicode.Scalar.init))) + "é😀"
        var bytes: [UInt8] = []
        bytes.append(jsonString: text)
        let back = try JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)
        #expect(back as? String == text)
    }

    @Test("Integers are written in full", arguments: [0, 7, -1, 1234567890, Int64.max, Int64.min])
    func integers(value: Int64) {
        var bytes: [UInt8] = []
        bytes.append(integer: value)
        #expect(String(decoding: bytes, as: UTF8.self) == "\(value)")
    }

    @Test("Compacting drops white space between tokens and keeps strings as they are")
    func compacting() {
        var source = " { \"a b\" : [ 1 , \"x \\\" y\\\\\" ] ,\n\t\"c\":null } "
        var bytes: [UInt8] = []
        source.withUTF8 { bytes.append(compacting: $0) }
        #expect(String(decoding: bytes, as: UTF8.self) == #"{"a b":[1,"x \" y\\"],"c":null}"#)
    }
}
