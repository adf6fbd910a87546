import Foundation
import SeededRandom
import Testing
import WireJSON

@Suite("JSON reader")
struct JSONReaderTests {
    @Test("A value is sliced byte for byte, numbers beyond 2^53 and decimals included")
    func slices() throws {
        let json = #"  {"big": 9007199254740993, "exact": 1.10, "text": "a\"b"} "#
        let slice = try scan(json)
        #expect(slice.text == #"{"big": 9007199254740993, "exact": 1.10, "text": "a\"b"}"#)
        #expect(slice.slice.flaw == nil)
        #expect(slice.slice.hasWhitespace)
    }

    @Test(
        "Text that is not JSON is refused with a place",
        arguments: [
            "", " ", "{", "[1,]", "{\"a\":}", "{\"a\" 1}", "{a:1}", "01", "1.", ".5", "1e", "+1",
            "-",
            "tru", "nul", "\"a", "\"\\x\"", "\"\\u12g4\"", "\"\u{1}\"", "[1 2]", "{\"a\":1,}", "}",
            "[1}", "'a'", "NaN", "\"\\", "{\"a\"", "[", "\"\\u12",
        ])
    func refusals(json: String) {
        #expect(throws: JSONError.self) { try scan(json, toEnd: true) }
    }

    @Test(
        "A flaw is noted and the rest is read",
        arguments: [
            (#"{"a":"x\u0000y"}"#, JSONFlaw.nulCharacter),
            (#"{"a":"\ud800"}"#, .loneSurrogate),
            (#"{"a":"\udc00"}"#, .loneSurrogate),
            (#"{"a":"\ud800\ud800\udc00"}"#, .loneSurrogate),
            (#"{"a":1,"a":2}"#, .duplicateKey),
            (#"{"a":1,"\u0061":2}"#, .duplicateKey),
            (#"{"x":[{"a":1,"b":2,"a":3}]}"#, .duplicateKey),
        ])
    func flaws(json: String, flaw: JSONFlaw) throws {
        #expect(try scan(json, toEnd: true).slice.flaw == flaw)
    }

    @Test("The same key in two objects is no duplicate")
    func siblings() throws {
        #expect(try scan(#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#).slice.flaw == nil)
    }

    @Test("Nesting is allowed up to the limit, noted beyond it, and never overflows the stack")
    func nesting() throws {
        func nested(_ depth: Int) -> String {
            String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
        }
        #expect(try scan(nested(JSONRules.maximumDepth)).slice.flaw == nil)
        let flaw = JSONFlaw.nestedTooDeeply(limit: JSONRules.maximumDepth)
        #expect(try scan(nested(JSONRules.maximumDepth + 1)).slice.flaw == flaw)
        #expect(try scan("[1," + nested(500_000) + "]").slice.flaw == flaw)
    }

    @Test("A hundred thousand keys are read in linear time and a duplicate among them is found")
    func manyKeys() throws {
        let members = (0..<100_000).map { "\"k\($0)\":0" }
        #expect(try scan("{" + members.joined(separator: ",") + "}").slice.flaw == nil)
        let twice = "{" + (members + ["\"k7\":1"]).joined(separator: ",") + "}"
        #expect(try scan(twice).slice.flaw == .duplicateKey)
    }

    @Test("Strings are decoded with their escapes and surrogate pairs")
    func strings() throws {
        let json = #""a\n\t\"\\\/\u00e9\ud83d\ude00é""#
        let text = try read(json) { reader throws(JSONError) in try reader.readString() }
        #expect(text == "a\n\t\"\\/é😀é")
    }

    @Test("Integers are exact to 64 bits; fractions, exponents and overflow are refused")
    func integers() throws {
        func integer(_ json: String) throws -> Int64 {
            try read(json) { reader throws(JSONError) in try reader.readInt64() }
        }
        #expect(try integer("9223372036854775807") == .max)
        #expect(try integer("-9223372036854775808") == .min)
        for json in ["9223372036854775808", "1.0", "1e3", "\"1\""] {
            #expect(throws: JSONError.self) { try integer(json) }
        }
    }

    @Test("Random documents are read exactly as Foundation reads them")
    func agreesWithFoundation() throws {
        var generator = SeededGenerator(seed: 0x5EED)
        for _ in 0..<2_000 {
            var bytes = Array(randomJSON(depth: 4, using: &generator).utf8)
            // Half the time one byte is damaged: both must agree on refusing or accepting it.
            if Bool.random(using: &generator),
                let spot = bytes.indices.randomElement(using: &generator)
            {
                bytes[spot] = Array("{}[]\",:0a\\ e-".utf8).randomElement(using: &generator) ?? 0
            }
            let text = String(decoding: bytes, as: UTF8.self)
            let ours = try? scan(text, toEnd: true)
            let theirs = try? JSONSerialization.jsonObject(
                with: Data(bytes), options: .fragmentsAllowed)
            if let ours, ours.slice.flaw == nil {
                #expect(theirs != nil || Self.isBeyondDouble(text), "only ours accepts \(text)")
            } else if ours == nil {
                #expect(
                    theirs == nil || JSONReaderTests.foundationIsLax(text),
                    "only ours refuses \(text)")
            }
        }
    }

    /// Foundation refuses exponents that a double cannot hold; the grammar and PostgreSQL's json do not.
    private static func isBeyondDouble(_ text: String) -> Bool {
        text.contains(/[eE]\+?[0-9]{3,}/)
    }

    /// Foundation accepts a number with a leading zero after a sign or at the top level.
    private static func foundationIsLax(_ text: String) -> Bool {
        text.contains(/(^|[^0-9.eE+-])-?0[0-9]/)
    }

    private func randomJSON(depth: Int, using generator: inout SeededGenerator) -> String {
        switch Int.random(in: 0..<(depth > 0 ? 7 : 5), using: &generator) {
        case 0: return "null"
        case 1: return Bool.random(using: &generator) ? "true" : "false"
        case 2: return "\(Int.random(in: -1000...1000, using: &generator))"
        case 3: return "\(Double.random(in: -10...10, using: &generator))"
        case 4: return #""s\n\u00e9 \#(Int.random(in: 0...9, using: &generator))""#
        case 5:
            let count = Int.random(in: 0...4, using: &generator)
            let items = (0..<count).map { _ in randomJSON(depth: depth - 1, using: &generator) }
            return "[ " + items.joined(separator: " ,") + "]"
        default:
            let count = Int.random(in: 0...4, using: &generator)
            let items = (0..<count).map {
                "\"k\($0)\" :" + randomJSON(depth: depth - 1, using: &generator)
            }
            return "{" + items.joined(separator: ", ") + " }"
        }
    }
}

private struct Scanned {
    let slice: JSONSlice
    let text: String
}

private func scan(_ json: String, toEnd: Bool = false) throws -> Scanned {
    try read(json) { reader throws(JSONError) in
        let slice = try reader.skipValue()
        if toEnd { try reader.expectEnd() }
        return Scanned(
            slice: slice,
            text: String(decoding: reader.bytes[slice.range], as: UTF8.self))
    }
}

private func read<R>(_ json: String, _ body: (inout JSONReader) throws(JSONError) -> R) throws -> R
{
    var json = json
    return try json.withUTF8 { bytes in
        var reader = JSONReader(bytes)
        return try body(&reader)
    }
}
