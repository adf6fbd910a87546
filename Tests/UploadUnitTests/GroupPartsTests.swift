import Model
import NIOCore
import Sidecar
import Testing

@testable import UploadService

@Suite("Parts of a group") struct GroupPartsTests {
    private static func table(
        _ id: TableID, _ name: String, foreignKeys: [ForeignKey] = [], hasTriggers: Bool = false
    ) -> RegisteredTable {
        RegisteredTable(
            id: id, name: TableName(schema: "s", table: name), keyKind: .text, keyColumn: "id",
            mode: .table, ownerColumn: "owner",
            columns: [
                Column(name: "id", typeName: "text", baseType: 25),
                Column(name: "owner", typeName: "text", baseType: 25),
                Column(name: "code", typeName: "text", baseType: 25),
                Column(name: "up", typeName: "text", baseType: 25),
            ],
            foreignKeys: foreignKeys, keyIndexColumns: ["id"],
            reach: WriteReach(hasTriggers: hasTriggers, comparesRows: false))
    }

    private static func key(to parent: String, _ column: String) -> ForeignKey {
        ForeignKey(
            name: "to_\(parent)", parent: TableName(schema: "s", table: parent),
            columns: [.init(child: "up", parent: column, parentType: 25)], isDeferrable: false)
    }

    private static func schema(isDeferrable: Bool = false) -> UploadSchema {
        UploadSchema(
            catalog: Catalog(
                tables: [
                    table(1, "notes"), table(2, "items", foreignKeys: [key(to: "notes", "id")]),
                    table(3, "loud", hasTriggers: true), table(4, "codes"),
                    table(5, "uses", foreignKeys: [key(to: "codes", "code")]),
                ], hasDeferrableConstraints: isDeferrable))
    }

    private static func change(_ table: String, _ key: String, up: String? = nil) -> String {
        let payload = up.map { #"{"up":"\#($0)"}"# } ?? "{}"
        return change(table, key, "INSERT", base: 0, #","payload":\#(payload)"#)
    }

    private static func delete(_ table: String, _ key: String) -> String {
        change(table, key, "DELETE", base: 1, "")
    }

    private static func change(
        _ table: String, _ key: String, _ operation: String, base: Int, _ more: String
    ) -> String {
        #"{"source_change_id":1,"schema":"s","table":"\#(table)","op":"\#(operation)","#
            + #""pk":"\#(key)","server_version":\#(base)\#(more)}"#
    }

    private static func parts(
        _ uploads: [(String, [String])], isDeferrable: Bool = false
    ) throws -> [Range<Int>] {
        let schema = schema(isDeferrable: isDeferrable)
        return GroupParts(
            try uploads.map { device, changes in
                let body = #"{"changes":[\#(changes.joined(separator: ","))]}"#
                let batch = try UploadBatch(
                    ByteBuffer(string: body), author: .test, schema: schema, limits: WireLimits())
                #expect(batch.rejected.isEmpty)
                return (DeviceID(device), batch)
            }
        ).parts
    }

    @Test("Uploads of different devices and rows are one part")
    func together() throws {
        let uploads: [(String, [String])] = [
            ("a", [Self.change("notes", "1"), Self.change("items", "1")]),
            ("b", [Self.change("notes", "2"), Self.delete("items", "5")]), ("c", []),
            ("d", [Self.change("items", "2", up: "9")]),
        ]
        #expect(try Self.parts(uploads) == [0..<4])
        #expect(try Self.parts(uploads, isDeferrable: true) == [0..<4])
        #expect(try Self.parts([]) == [])
    }

    @Test("A part ends before an upload that meets one of it: its device, row or parent")
    func meeting() throws {
        let note = Self.change("notes", "1")
        for second in [
            ("a", [Self.change("notes", "2")]), ("b", [Self.change("notes", "3"), note]),
            ("b", [Self.change("items", "1", up: "1")]),
        ] as [(String, [String])] {
            let uploads = [("a", [note]), second, ("z", [Self.change("notes", "8")])]
            #expect(try Self.parts(uploads) == [0..<1, 1..<3])
        }
    }

    @Test("An upload whose writes may concern other rows is a part of its own")
    func notPlain() throws {
        for special in [
            Self.delete("notes", "5"), Self.change("loud", "5"), Self.change("codes", "5"),
        ] {
            let uploads: [(String, [String])] = [
                ("a", [Self.change("notes", "1")]), ("b", [Self.change("notes", "2"), special]),
                ("c", [Self.change("notes", "3")]), ("d", [Self.change("uses", "1", up: "x")]),
            ]
            #expect(try Self.parts(uploads) == [0..<1, 1..<2, 2..<4])
        }
    }
}
