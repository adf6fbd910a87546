import Testing
import WireJSON

@Suite("JSON documents")
struct JSONDocumentTests {
    @Test func `members keep their order, and one without a value is left out`() {
        let document: JSONDocument = [
            "zebra": 1, "apple": ["a", true, -5, []], "none": nil, "inner": ["x": .string("y")],
        ]
        #expect(document.text == #"{"zebra":1,"apple":["a",true,-5,[]],"inner":{"x":"y"}}"#)
    }

    @Test func `text is escaped, and written JSON is not`() {
        let document: JSONDocument = [
            "a\"b": .string("line\n\u{1}"), "kept": .written(#"{ "n":1.10 }"#),
        ]
        #expect(document.text == #"{"a\"b":"line\n\u0001","kept":{ "n":1.10 }}"#)
    }

    @Test func `empty objects and arrays are whole values`() {
        #expect(JSONDocument.object([]).text == "{}")
        #expect(JSONDocument.object([(name: "a", value: nil)]).text == "{}")
        #expect(JSONDocument.array([]).text == "[]")
    }
}
