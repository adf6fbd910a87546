import Foundation
import Model
import Postgres
import Testing
import TestSupport
@testable import UploadService

/// The product of all kinds of values and all types of columns. What becomes of each pair stands in
/// `Golden/value-kinds.txt`, to be reviewed; what must hold for all of them is checked here.
@Suite("A value of any kind is stored as what it means, or refused", .timeLimit(.minutes(10)))
struct GoldenValueKindTests {
    private static let setup = """
        CREATE EXTENSION hstore SCHEMA s; CREATE EXTENSION citext SCHEMA s;
        CREATE EXTENSION ltree SCHEMA s;
        CREATE TYPE s.mood AS ENUM ('ok', '5'); CREATE TYPE s.pair AS (a int, b text);
        CREATE DOMAIN s.age AS int; CREATE DOMAIN s.years AS s.age;
        CREATE DOMAIN s.nick AS varchar(60);
        CREATE TYPE s.span AS RANGE (subtype = float8);
        """

    static let types = [
        "smallint", "int", "bigint", "s.years", "numeric", "numeric(5,2)", "real",
        "double precision", "boolean", "uuid", "bytea", "text", "varchar(60)", "char(60)", "name",
        "\"char\"", "s.nick", "s.citext", "s.mood", "date", "time", "timetz", "timestamp",
        "timestamptz", "timestamptz(0)", "interval", "json", "jsonb", "s.pair", "int[]",
        "numeric[]", "text[]", "boolean[]", "date[]", "timestamptz[]", "bytea[]", "jsonb[]",
        "s.mood[]", "s.pair[]", "int4range", "tstzrange", "int4multirange", "s.span",
        "inet", "cidr", "macaddr", "macaddr8", "bit(3)", "varbit", "money", "xml", "tsvector",
        "tsquery", "point", "line", "lseg", "box", "path", "polygon", "circle", "oid", "regtype",
        "pg_lsn", "jsonpath", "txid_snapshot", "s.hstore", "s.ltree",
    ]

    static let values = [
        "0", "1", "5", "101", "1.5", "-0.0", "1e3", "20260301", "1767220811", "1767225600500",
        "123456789012", "12345678901234567890", "true", "false", "[]", "[1]", "[1,2]",
        #"["a"]"#, "[true]", "[[1]]", #"["2026-03-01"]"#, "[null]", "{}", #"{"a":"1"}"#, #""""#,
        #""0""#, #""5""#, #""101""#, #"" 7 ""#, #""t""#, #""yes""#, #""abc""#, #""NaN""#,
        #""20260301""#, #""1767220811""#, #""1767225600500""#, #""2026-03-01T10:00:00Z""#,
        #""2026.03.01""#, #""10:00""#, #""1 day""#, #""AQL/""#, #""AQ L/""#, #""dGVzdB==""#,
        #""\\x0a""#, #""{1}""#, #""(1,2)""#, #""[1,2]""#, #""[(1,2),(3,4)]""#, #""10.0.0.1""#,
        #""08002b010203""#, #""a=>1""#, #""<a/>""#, #""11111111-2222-3333-4444-555555555555""#,
        #""ERERESIiMzNERFVVVVVVVQ==""#, #""int4""#, #""10:20:10,14""#, #""\\\"q\"""#,
    ]

    /// What one value became.
    private struct Outcome {
        let sent: String
        let answer: ChangeVerdict
        /// What the table holds, as text and as capture writes it; nil where it holds NULL.
        var stored: String?
        var rendered: String?
        /// What the change log holds.
        var logged: String?

        var isApplied: Bool { answer.line.hasPrefix("applied") }
        var isKept: Bool { logged == sent }
    }

    @Test("Each pair comes out as recorded, and survives both ways")
    func product() async throws {
        let columns = Self.types.enumerated().map { "c\($0) \($1)" }.joined(separator: ", ")
        try await SyncedDatabase.with(
            tables: """
                \(Self.setup)
                CREATE TABLE s.kinds (id uuid PRIMARY KEY, owner text, word text, \(columns))
                """, registered: "  - {table: s.kinds, owner: owner}"
        ) { database in
            try await database.execute("SET TimeZone = 'UTC'; SET search_path = pg_catalog")
            var blocks: [String] = []
            for (place, type) in Self.types.enumerated() {
                let outcomes = try await Self.send(place, to: database)
                for outcome in outcomes where outcome.isApplied { Self.expect(outcome, of: type) }
                blocks.append(Self.block(type, outcomes))
            }
            let problem = try Self.difference(from: blocks.joined(separator: "\n") + "\n")
            #expect(problem == nil)
            #expect(try await database.verify().0 == [])
            try await Self.sendBack(in: database)
        }
    }

    private static func key(_ place: Int, _ value: Int) -> String {
        id(String((place + 1) * 0x100 + value, radix: 16))
    }

    /// A device sends each value for one column.
    private static func send(
        _ place: Int, to database: SyncedDatabase
    ) async throws -> [Outcome] {
        let changes = values.enumerated().map {
            change(
                place * values.count + $0 + 1, "INSERT", "kinds", key(place, $0),
                #"{"c\#(place)":\#($1)}"#)
        }
        let answers = try await database.upload("ann", changes.joined(separator: ",")).outcomes
        var outcomes = zip(values, answers).map { Outcome(sent: $0, answer: $1) }
        let column = "c\(place)"
        let value =
            types[place] == "bytea"
            ? "replace(encode(k.\(column), 'base64'), E'\\n', '')"
            : "k.\(column)"
        let rows = try await database.sql.run(
            Command(
                Statement(
                    name: "kinds_\(place)",
                    sql: """
                        SELECT k.id::text, k.\(column)::text,
                            (SELECT row_to_json(w) -> 'v' FROM (SELECT \(value) AS v) AS w)::text,
                            (l.payload -> '\(column)')::text
                        FROM s.kinds k JOIN sync.change_log l ON l.key = uuid_send(k.id)
                        """)))
        for row in 0..<rows.rowCount {
            let id = try rows.string(row, 0)
            guard let index = values.indices.first(where: { key(place, $0) == id }) else {
                continue
            }
            outcomes[index].stored = try rows.optionalString(row, 1)
            outcomes[index].rendered = try rows.optionalString(row, 2)
            outcomes[index].logged = try rows.optionalString(row, 3)
        }
        return outcomes
    }

    /// Kinds that devices send in addition to the one that PostgreSQL writes, and keep.
    private static let aliases = [
        "boolean": "number", "numeric": "string", "numeric(5,2)": "string",
        "timestamptz": "number", "timestamptz(0)": "number",
    ]

    private static func kind(_ json: String) -> String {
        switch json.first {
        case "\"": "string"
        case "[": "array"
        case "{": "object"
        case "t", "f": "boolean"
        case "n": "null"
        default: "number"
        }
    }

    /// What devices get is what the table holds, in the kind that it has there.
    private static func expect(_ outcome: Outcome, of type: String) {
        guard let logged = outcome.logged else {
            Issue.record("\(type) \(outcome.sent): no payload")
            return
        }
        let rendered = outcome.rendered ?? "null"
        guard outcome.isKept else {
            #expect(logged == rendered, "\(type) \(outcome.sent)")
            return
        }
        // An empty text is how some devices write a BLOB that is NULL.
        if type == "uuid", outcome.sent == #""""# { return }
        #expect(
            kind(logged) == kind(rendered) || kind(logged) == aliases[type],
            "\(type) \(outcome.sent) is kept and stored as \(rendered)")
    }

    /// A back end changes each row, and a device sends it as it came: nothing changes any more.
    private static func sendBack(in database: SyncedDatabase) async throws {
        let state = "SELECT md5(string_agg(k::text, '' ORDER BY id)) FROM s.kinds k"
        try await database.execute("UPDATE s.kinds SET word = 'x'")
        let before = try await database.value(state)
        let rows = try await database.sql.run(
            Command(
                Statement(
                    name: "changed",
                    sql: """
                        SELECT encode(l.key, 'hex')::uuid::text, l.version::text, l.payload::text
                        FROM sync.change_log l WHERE l.version = 2 ORDER BY l.seq
                        """)))
        #expect(rows.rowCount > types.count)
        var sent: [String] = []
        for row in 0..<rows.rowCount {
            sent.append(
                change(
                    row + 1, "UPDATE", "kinds", try rows.string(row, 0),
                    base: Int(try rows.string(row, 1)) ?? 0, try rows.string(row, 2)))
        }
        for start in stride(from: 0, to: sent.count, by: 100) {
            let part = sent[start..<min(start + 100, sent.count)].joined(separator: ",")
            let answers = try await database.upload("ann", device: "laptop", part).outcomes
            for (place, answer) in answers.enumerated() where !answer.line.hasPrefix("applied") {
                Issue.record("\(answer): \(sent[start + place])")
            }
        }
        #expect(try await database.value(state) == before)
        #expect(try await database.verify().0 == [])
    }

    // MARK: - The record

    private static func block(_ type: String, _ outcomes: [Outcome]) -> String {
        let kept = outcomes.filter { $0.isApplied && $0.isKept }.map { outcome in
            outcome.rendered == outcome.sent
                ? outcome.sent : "\(outcome.sent) (\(outcome.stored ?? "NULL"))"
        }
        let changed = outcomes.filter { $0.isApplied && !$0.isKept }.map {
            "\($0.sent) -> \($0.logged ?? "?")"
        }
        let judged = outcomes.filter { $0.answer.line == "invalid bad_payload" }.map(\.sent)
        let failed = outcomes.filter { $0.answer.line.hasPrefix("materialize") }.map(\.sent)
        let lines = [
            ("kept", kept), ("as stored", changed), ("no such kind", judged),
            ("refused by PostgreSQL", failed),
        ].filter { !$0.1.isEmpty }.map { "  \($0): \($1.joined(separator: "  "))" }
        return ([type] + lines).joined(separator: "\n")
    }

    private static func difference(from text: String) throws -> String? {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "Golden/value-kinds.txt")
        if ProcessInfo.processInfo.environment[GoldenFile.recordVariable] != nil {
            try text.write(to: file, atomically: true, encoding: .utf8)
            return "recorded value-kinds.txt: review it"
        }
        let recorded = try String(contentsOf: file, encoding: .utf8)
        if recorded == text { return nil }
        let (old, new) = (
            recorded.split(separator: "\n"), text.split(separator: "\n")
        )
        let line = zip(old, new).first { $0 != $1 }
        return "Golden/value-kinds.txt has\n\(line?.0 ?? "an end")\nand not\n\(line?.1 ?? "an end")"
    }
}
