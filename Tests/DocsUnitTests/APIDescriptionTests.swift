import APIDescription
import Foundation
import Testing

/// What holds answers against `openapi.yaml` finds what differs, and passes over nothing that it
/// does not know.
struct APIDescriptionTests {
    private func value(_ json: String) throws -> JSONValue {
        try JSONDecoder().decode(JSONValue.self, from: Data(json.utf8))
    }

    @Test func `everything that the page says of answers can be checked`() throws {
        let page = try APIDescription(yaml: try Repository.text(of: "Docs/openapi.yaml"))
        #expect(page.answers.count > 150)
    }

    @Test(arguments: [
        #"{"type":"string","minLength":1}"#, #"{"oneOf":[{"type":"string"}]}"#,
        #"{"type":"string","format":"email"}"#, #"{"type":"text"}"#, #"{"pattern":"["}"#,
        #"{"type":"object","required":["a"]}"#, #"{"additionalProperties":{"type":"string"}}"#,
        #"{"type":"array","items":{"uniqueItems":true}}"#, #"{"$ref":"other.yaml"}"#, "[]",
    ])
    func `a keyword that is not known is an error`(schema: String) throws {
        let schema = try value(schema)
        #expect(throws: FlawedDescription.self) { try JSONSchema(schema, at: "schema") }
    }

    @Test(arguments: [
        (#"{"type":"integer"}"#, "1", "true"), (#"{"type":"boolean"}"#, "false", "0"),
        (#"{"type":"integer","minimum":1,"maximum":3}"#, "3", "4"),
        (#"{"type":"integer","minimum":1}"#, "1", "0"),
        (#"{"type":"number"}"#, "1.5", #""1.5""#), (#"{"type":["object","null"]}"#, "null", "1"),
        (#"{"type":"object"}"#, #"{"any":1}"#, "[]"),
        (#"{"properties":{"a":{"type":"string"}},"required":["a"]}"#, #"{"a":""}"#, "{}"),
        (#"{"properties":{"a":{"type":"string"}}}"#, "{}", #"{"b":1}"#),
        (
            #"{"properties":{"a":{"type":"string"}},"additionalProperties":true}"#, #"{"b":1}"#,
            #"{"a":1}"#
        ),
        (#"{"type":"array","items":{"type":"integer"},"maxItems":2}"#, "[1,2]", "[1,2,3]"),
        (#"{"type":"array","items":{"type":"integer"}}"#, "[]", #"["a"]"#),
        (#"{"enum":["a","b"]}"#, #""b""#, #""c""#), (#"{"const":"a"}"#, #""a""#, #""A""#),
        (#"{"type":"string","pattern":"^[0-9]+$"}"#, #""12""#, #""1x""#),
        (
            #"{"format":"uuid"}"#, #""0b6f2a3e-6b1c-4c7e-9a55-2f4f0c9d1e11""#,
            #""0B6F2A3E-6B1C-4C7E-9A55-2F4F0C9D1E11""#
        ),
        (#"{"format":"date-time"}"#, #""2026-01-01T00:00:00.5Z""#, #""2026-01-01 00:00:00""#),
    ])
    func `a value that differs is found`(schema: String, good: String, bad: String) throws {
        let schema = try JSONSchema(try value(schema), at: "schema")
        #expect(schema.problems(of: try value(good), at: "value") == [])
        #expect(schema.problems(of: try value(bad), at: "value").count == 1)
    }

    private static let page = """
        paths:
          /a:
            get:
              responses:
                "200":
                  description: Good.
                  headers: { X-Count: { required: true, schema: { type: integer, minimum: 1 } } }
                  content: { application/json: { schema: { $ref: "#/components/schemas/A" } } }
                "400":
                  description: "`bad`."
                  content: { application/json: { schema: { type: object } } }
        components:
          schemas:
            A: { type: object, properties: { b: { $ref: "#/components/schemas/B" } } }
            B: { type: string }
        """

    @Test func `an answer is compared in status, headers, type, body and code`() throws {
        let page = try APIDescription(yaml: Self.page)
        let usual = APIDescription.usualHeaders.map { (name: $0, value: "x") }
        func problems(
            _ status: Int, _ headers: [String: String], _ body: String,
            usual: [(name: String, value: String)]
        ) -> [String] {
            page.problems(
                of: APIDescription.Received(
                    status: status,
                    headers: usual + headers.map { (name: $0.key, value: $0.value) },
                    body: Array(body.utf8)), to: "GET", "/a")
        }
        let json = ["Content-Type": "application/json", "X-Count": "1"]
        #expect(problems(200, json, #"{"b":"c"}"#, usual: usual) == [])
        #expect(problems(200, json, #"{"b":1}"#, usual: usual).count == 1)
        #expect(problems(200, json, "{", usual: usual).count == 1)
        #expect(problems(200, json, "{}", usual: []).count == usual.count)
        #expect(problems(201, json, "{}", usual: usual) == ["GET /a 201 is not described"])
        for (name, text) in [("X-Count", "0"), ("X-Other", "1"), ("Content-Type", "text/plain")] {
            let headers = json.merging([name: text]) { $1 }
            #expect(problems(200, headers, "{}", usual: usual).count == 1)
        }
        let plain = ["Content-Type": "application/json"]
        #expect(problems(200, plain, "{}", usual: usual).count == 1)
        #expect(problems(400, plain, #"{"error":"bad"}"#, usual: usual) == [])
        #expect(problems(400, plain, #"{"error":"other"}"#, usual: usual).count == 1)
    }
}
