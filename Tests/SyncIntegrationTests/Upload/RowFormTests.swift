import Foundation
import Model
import Postgres
import Sidecar
import Testing

@testable import UploadService

@Suite("Rows come as texts or as JSON")
struct RowFormTests {
    private static let types = [
        "text", "varchar", "varchar(3)", "char(2)", "char(40)", "boolean", "smallint", "int",
        "bigint", "numeric", "numeric(4,1)", "real", "double precision", "date", "time",
        "time(0)", "timestamp", "timestamp(0)", "timestamptz", "timestamptz(0)", "uuid", "bytea",
    ]

    private static let values = [
        "0", "-1", "1.25", "1e3", "-0.0", "99999", "123456789012345678901", "true", "false",
        "null", #""""#, #""a""#, #""abc""#, #""abc   ""#, #""abcd""#, #"" b ""#, #""x\ty\n""#,
        #""\u00e9\ud83d\ude00""#, #""é😀""#, #""{a,\"b\"}""#, #""NULL""#, #""\\""#, #""1.25""#,
        #""NaN""#, #""infinity""#, #""yes""#, #""2026-03-01""#, #""10:00:00.75""#,
        #""2026-03-01T10:00:00.750+02:00""#, #""11111111-2222-3333-4444-555555555555""#,
        #""AAEC""#, #""a\u0000b""#, #""\ud800""#, "[1]", #"{"a":1}"#,
    ]

    private static var tables: String {
        types.indices.map { number in
            """
            CREATE TABLE s.form\(number) (
                id uuid PRIMARY KEY, owner text NOT NULL, v \(types[number]), j jsonb);
            """
        }.joined(separator: "\n")
    }

    /// A payload that names the `jsonb` column has all of its values read as JSON.
    @Test("A value is stored, or refused, alike in both forms")
    func alike() async throws {
        let names = Self.types.indices.map { "form\($0)" }
        try await SyncedDatabase.with(
            tables: Self.tables,
            registered: names.map { "  - {table: s.\($0), owner: owner}" }.joined(separator: "\n")
        ) { database in
            var (changes, stored) = (0, 0)
            for (number, type) in Self.types.enumerated() {
                for (place, value) in Self.values.enumerated() {
                    var seen: [String] = []
                    for (form, more) in ["", #","j":{"k":1}"#].enumerated() {
                        changes += 1
                        let key = id(String(format: "%02x%02x%x", number, place, form))
                        let payload = #"{"v":\#(value)\#(more)}"#
                        let answer = try await database.outcomes(
                            "ann", change(changes, "INSERT", "form\(number)", key, payload))
                        let row = try await database.value(
                            "SELECT v::text FROM s.form\(number) WHERE id = '\(key)'")
                        if row != nil { stored += 1 }
                        seen.append("\(answer) \(row ?? "no row")")
                    }
                    #expect(seen[0] == seen[1], "\(value) in \(type)")
                }
            }
            // Most texts are no numbers, and most numbers no times.
            #expect(stored > changes / 4)
        }
    }

    @Test("Columns of plain types come as texts, others and nested values as JSON")
    func forms() async throws {
        try await SyncedDatabase.with(
            tables: Self.tables, registered: "  - {table: s.form0, owner: owner}"
        ) { database in
            let schema = UploadSchema(catalog: try await database.source.catalog())
            let name = try #require(schema.table(TableName(schema: "s", table: "form0")))
            let table = schema.tables[name]
            func form(_ columns: [String], needsJSON: Bool = false) -> MaterializeStatement.Form {
                var set = ColumnSet()
                for (place, column) in table.registered.columns.enumerated()
                where columns.contains(column.name) {
                    set.insert(place)
                }
                return MaterializeStatement.Form(
                    BusinessWrites.Shape(table: name, .create, set, needsJSON: needsJSON),
                    of: table)
            }
            #expect(form(["v"]) == .texts)
            #expect(form(["id", "owner", "v"]) == .texts)
            #expect(form(["v", "j"]) == .json)
            #expect(form(["v"], needsJSON: true) == .json)
        }
    }
}
