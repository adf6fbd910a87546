import Model
import NIOCore
import Sidecar
import Testing

@testable import UploadService

@Suite("Upload body")
struct BatchTests {
    private let schema = UploadSchema(
        catalog: Catalog(tables: [
            RegisteredTable(
                id: 1, name: TableName(schema: "s", table: "t"), keyKind: .uuid, keyColumn: "id",
                mode: .sidecar,
                ownerColumn: nil)
        ]))
    private let key = "550e8400-e29b-41d4-a716-446655440000"

    @Test("Null, absent and empty changes are an empty upload, white space around it or not")
    func emptyUploads() throws {
        for body in [
            "null", "{}", #"{"changes":null}"#, " null\n", " {\"changes\":[]} \r\n\t ",
            #"{"source_id":"x","changes":[]}"#,
        ] {
            #expect(
                try UploadBatch(
                    ByteBuffer(string: body), author: .test, schema: schema, limits: WireLimits()
                )
                .count == 0)
        }
    }

    @Test(
        "Wrong JSON types refuse the whole body",
        arguments: [
            "[]", "1", "", "{", #"{"changes":{}}"#, #"{"changes":[{"source_change_id":1.5}]}"#,
            #"{"changes":[{"source_change_id":1e3}]}"#, #"{"changes":[{"pk":7}]}"#,
            #"{"changes":[7]}"#,
        ])
    func undecodable(body: String) {
        #expect(throws: UndecodableUpload.self) {
            try UploadBatch(
                ByteBuffer(string: body), author: .test, schema: schema, limits: WireLimits())
        }
    }

    @Test(
        "A second value after the first is refused, not dropped",
        arguments: [
            #"{"changes":[]}{"changes":[]}"#, #"{"changes":[]} trailing"#, "null null", #"{},"#,
        ])
    func trailing(body: String) {
        let error = #expect(throws: UndecodableUpload.self) {
            try UploadBatch(
                ByteBuffer(string: body), author: .test, schema: schema, limits: WireLimits())
        }
        #expect(error?.reason.contains("there is text after the JSON value") == true)
    }

    @Test("More changes than can be answered one by one are too large, whatever they are")
    func unanswerable() {
        let count = WireLimits.answeredChanges
        for (body, format) in [
            (
                Array(#"{"changes":[\#(String(repeating: "{},", count: count)){}]}"#.utf8),
                BodyFormat.json
            ),
            (Array(repeating: [0x0A, 0], count: count + 1).flatMap { $0 }, .protobuf),
        ] {
            #expect(throws: UndecodableUpload.tooManyChanges) {
                try UploadBatch(
                    ByteBuffer(bytes: body), format: format, author: .test, schema: schema,
                    limits: WireLimits())
            }
        }
    }

    @Test("A rejection shows no more than the beginning of what was sent")
    func clipped() throws {
        let long = String(repeating: "x", count: 100_000)
        for change in [
            #"{"table":"\#(long)"}"#, #"{"schema":"\#(long)","table":"t"}"#,
            #"{"schema":"s","table":"t","op":"\#(long)"}"#,
            #"{"schema":"s","table":"t","op":"DELETE","pk":"\#(long)"}"#,
        ] {
            let rejection = try #require(try batch(change).rejected.first?.rejection)
            #expect(rejection.reason == .badPayload)
            #expect((rejection.message ?? "").utf8.count < 200)
        }
    }

    @Test("Names match in any case, text is trimmed and normalised, keys take any usual form")
    func normalised() throws {
        let hex = key.split(separator: "-").joined().uppercased()
        let batch = try batch(
            #"{"Source_Change_ID":7,"Schema":" S ","TABLE":"T","op":" insert ","PK":"\#(hex)","payload":{}}"#
        )
        #expect(batch.rejected.isEmpty)
        #expect(batch.changes.map(\.row.key.text) == [key])
        #expect(batch.changeIDs == [7])
    }

    @Test("The first failure is named in the reference's words")
    func refusals() throws {
        let cases = [
            (
                #""schema":"S-","table":"?","op":"X","pk":"p""#,
                #"bad_payload: invalid schema name "s-""#
            ),
            (
                #""schema":"s","table":"?","op":"X","pk":"p""#,
                #"bad_payload: invalid table name "?""#
            ),
            (#""schema":"s","table":"u","op":"X","pk":"p""#, "table not registered s.u"),
            (#""schema":"s","table":"t","op":"X","pk":"p""#, "invalid operation: X"),
            (
                #""schema":"s","table":"t","op":"INSERT","pk":"p""#,
                "bad_payload: invalid UUID format: p"
            ),
            (
                #""schema":"s","table":"t","op":"INSERT","pk":"\#(key)""#,
                "payload required for INSERT operation"
            ),
            (
                #""schema":"s","table":"t","op":"DELETE","pk":"\#(key)","payload":null"#,
                "DELETE must not include payload"
            ),
            (
                #""schema":"s","table":"t","op":"UPDATE","pk":"\#(key)","payload":[]"#,
                "invalid JSON payload: it must be an object"
            ),
        ]
        for (members, message) in cases {
            #expect(try batch("{\(members)}").rejected.map(\.rejection.message) == [message])
        }
    }

    @Test("S8: a payload that PostgreSQL cannot take is refused alone; its neighbours stand")
    func flaws() throws {
        let good =
            #"{"source_change_id":1,"schema":"s","table":"t","op":"INSERT","pk":"\#(key)","payload":{"a":9007199254740993}}"#
        let flawed = [#"{"a":"\u0000"}"#, #"{"a":"\ud800"}"#, #"{"a":1,"a":2}"#]
        let bad = flawed.map {
            #"{"schema":"s","table":"t","op":"INSERT","pk":"\#(key)","payload":\#($0)}"#
        }
        let batch = try batch(([good] + bad + [good]).joined(separator: ","))
        #expect(batch.rejected.map(\.index) == [1, 2, 3])
        #expect(batch.rejected.allSatisfy { $0.rejection.reason == .badPayload })
        #expect(batch.changes.count == 2)
    }

    @Test("S8: a name with U+0000 is told as such; half of a surrogate pair is no Unicode")
    func namesThatCannotBeTaken() throws {
        for (text, flaw) in [
            (#"\u0000"#, #"contains the character \u0000, which PostgreSQL cannot store"#),
            (#"\ud800"#, "is not valid Unicode text"),
        ] {
            let batch = try batch(#"{"schema":"s","table":"a\#(text)","op":"INSERT","pk":"1"}"#)
            #expect(batch.rejected.map(\.rejection.message) == ["bad_payload: table \(flaw)"])
        }
    }

    @Test("S14: too many changes are refused one by one, with the limit in the answer")
    func tooMany() throws {
        var limits = WireLimits()
        limits.changesPerUpload = 1
        let body = ByteBuffer(string: #"{"changes":[{},{}]}"#)
        let batch = try UploadBatch(body, author: .test, schema: schema, limits: limits)
        #expect(
            batch.rejected.map(\.rejection.message)
                == Array(repeating: "batch too large: changes=2 limit=1", count: 2))
    }

    @Test("S14: a payload over the limit is refused alone, with the limit in the answer")
    func largePayload() throws {
        var limits = WireLimits()
        limits.bytesPerPayload = 20
        func change(_ payload: String) -> String {
            #"{"schema":"s","table":"t","op":"INSERT","pk":"\#(key)","payload":\#(payload)}"#
        }
        let fits = #"{"a":"0123456789ab"}"#
        let large = #"{"a":"0123456789abc"}"#
        let changes = [change(fits), change(large), change(fits)].joined(separator: ",")
        let batch = try UploadBatch(
            ByteBuffer(string: #"{"changes":[\#(changes)]}"#), author: .test, schema: schema,
            limits: limits)
        #expect(batch.changes.count == 2)
        #expect(batch.rejected.map(\.index) == [1])
        #expect(
            batch.rejected.map(\.rejection.message) == ["bad_payload: payload too large: 21 > 20"])
    }

    @Test("A lost version that no row can have is refused with the limit")
    func lostVersionOutOfRange() throws {
        for lost in ["-1", "4503599627370497", "9223372036854775807"] {
            let batch = try batch(
                #"{"schema":"s","table":"t","op":"DELETE","pk":"\#(key)","lost_version":\#(lost)}"#)
            #expect(
                batch.rejected.map(\.rejection.message) == [
                    "bad_payload: lost_version must be between 0 and 4503599627370496"
                ])
        }
        let highest = #""op":"DELETE","pk":"\#(key)","lost_version":4503599627370496"#
        let fine = #"{"schema":"s","table":"t",\#(highest)}"#
        #expect(try batch(fine).changes.map(\.lost) == [4_503_599_627_370_496])
    }

    @Test(
        "An id or a base that no change can have is refused alone, with the field and the limit",
        arguments: [
            (
                "source_change_id", "9007199254740992",
                "between -9007199254740991 and 9007199254740991"
            ),
            (
                "source_change_id", "9223372036854775807",
                "between -9007199254740991 and 9007199254740991"
            ),
            (
                "source_change_id", "-9223372036854775808",
                "between -9007199254740991 and 9007199254740991"
            ),
            ("server_version", "9007199254740992", "at most 9007199254740991"),
            ("server_version", "9223372036854775807", "at most 9007199254740991"),
        ])
    func numberOutOfRange(field: String, number: String, limit: String) throws {
        func change(_ number: String) -> String {
            #"{"schema":"s","table":"t","op":"DELETE","pk":"\#(key)","\#(field)":\#(number)}"#
        }
        let batch = try batch([change("7"), change(number)].joined(separator: ","))
        #expect(batch.changes.map(\.index) == [0])
        #expect(
            batch.rejected.map(\.rejection.message) == ["bad_payload: \(field) must be \(limit)"])
        for fine in ["9007199254740991", "0", "-1"] {
            #expect(try self.batch(change(fine)).rejected.isEmpty)
        }
    }

    private func batch(_ changes: String) throws -> UploadBatch {
        try UploadBatch(
            ByteBuffer(string: #"{"changes":[\#(changes)]}"#), author: .test, schema: schema,
            limits: WireLimits())
    }
}
