@testable import DownloadService
import Foundation
import Model
import NIOCore
import Protos
import RPC
import Sidecar
import Testing
@testable import UploadService

@Suite("Tables that are open to some roles")
struct AccessTests {
    private static let tables = """
        CREATE TABLE s.prices (id uuid PRIMARY KEY, owner text, cents int);
        CREATE TABLE s.audits (id uuid PRIMARY KEY, owner text, text text);
        """

    private static let yaml = """
          - table: s.prices
            owner: owner
            write: [editor]
          - table: s.audits
            owner: owner
            read: [auditor, editor]
            write: [auditor]
        """

    private static func body(_ reply: RPCReply<PullChangesReply>) throws -> [String] {
        let object = try JSONSerialization.jsonObject(with: Data(reply.body.readableBytesView))
        let changes = (object as? [String: Any])?["changes"] as? [[String: Any]] ?? []
        return changes.map { $0["table"] as? String ?? "?" }
    }

    @Test("V10: a change of a table that the caller may not write is refused alone")
    func writing() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            func outcomes(_ roles: [String], _ first: Int) async throws -> [String] {
                let result = try await database.upload(
                    "ann", roles: roles,
                    change(first, "INSERT", "notes", id("\(first)"), "{}"),
                    change(first + 1, "INSERT", "prices", id("\(first + 1)"), #"{"cents":1}"#),
                    change(first + 2, "INSERT", "audits", id("\(first + 2)"), #"{"text":"x"}"#))
                let answer = UploadAnswer(
                    result: result, changeIDs: result.outcomes.indices.map { Int64($0) })
                return result.outcomes.map(\.line) + ["accepted \(answer.isAccepted)"]
            }
            let no = "invalid forbidden_table"
            let stranger = try await outcomes([], 100)
            #expect(stranger == ["applied 1", no, no, "accepted false"])
            let editor = try await outcomes(["editor"], 200)
            #expect(editor == ["applied 1", "applied 1", no, "accepted false"])
            let auditor = try await outcomes(["auditor"], 300)
            #expect(auditor == ["applied 1", no, "applied 1", "accepted false"])
            let both = try await outcomes(["x", "auditor", "editor"], 400)
            #expect(both == ["applied 1", "applied 1", "applied 1", "accepted true"])
            #expect(try await database.value("SELECT count(*)::text FROM s.prices") == "2")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A page leaves out what the caller may not read, and the cursor passes over it")
    func reading() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await database.upload(
                "ann", roles: ["auditor"],
                change(1, "INSERT", "notes", id("1"), "{}"),
                change(2, "INSERT", "audits", id("2"), #"{"text":"secret"}"#))
            let closed = try await database.pull("ann")
            #expect(try Self.body(closed) == ["notes"])
            #expect(closed.message.nextAfter == 2)
            let open = try await database.pull("ann", roles: ["editor"])
            #expect(try Self.body(open) == ["notes", "audits"])
            let other = try await database.pull("ann") { $0.schema = "s" }
            #expect(try Self.body(other) == ["notes"])
            let capabilities = ReadCapabilities(source: database.source, limits: .init())
            let told = try await capabilities(
                CallContext(
                    requestID: "t", deadline: .now + .seconds(9),
                    caller: CallerIdentity(user: "ann", device: "d", roles: ["editor"])))
            let rights = told.message.tables.map { "\($0.table) \($0.mayRead) \($0.mayWrite)" }
            #expect(rights.contains("prices true true"))
            #expect(rights.contains("audits true false"))
            let none = try await capabilities(
                CallContext(
                    requestID: "t", deadline: .now + .seconds(9),
                    caller: CallerIdentity(user: "ann", device: "d")))
            #expect(!none.message.tables.contains { $0.table == "audits" })
        }
    }

    @Test("The types of columns are told of to those who may read the table, as devices see them")
    func columns() async throws {
        let tables = """
            CREATE DOMAIN s.cents AS numeric(20,2); CREATE TYPE s.mood AS ENUM ('ok');
            CREATE TABLE s.typed (id uuid PRIMARY KEY, owner text, "Amount" numeric(20,0),
                price s.cents, flag boolean, n smallint, f real, at timestamptz(0), days daterange,
                photo bytea, doc jsonb, list int[], mood s.mood, "N" int, internal text, fixed text)
            """
        let yaml = """
              - {table: s.typed, owner: owner, read: [editor], except: [internal],
                 read_only: {fixed: [boss]}}
            """
        try await SyncedDatabase.with(tables: tables, registered: yaml) { database in
            let capabilities = ReadCapabilities(source: database.source, limits: .init())
            func told(_ roles: [String]) async throws -> [TableCapability] {
                try await capabilities(
                    CallContext(
                        requestID: "t", deadline: .now + .seconds(9),
                        caller: CallerIdentity(user: "ann", device: "d", roles: roles))
                ).message.tables
            }
            let table = try #require(try await told(["editor"]).first { $0.table == "typed" })
            #expect(
                table.columns.map { "\($0.name): \($0.type), \($0.kind)" } == [
                    "id: uuid, uuid", "amount: numeric(20,0), decimal", "price: numeric, decimal",
                    "flag: boolean, boolean", "n: smallint, integer", "f: real, float",
                    "at: timestamp(0) with time zone, time", "days: daterange, text",
                    "photo: bytea, bytes", "doc: jsonb, json", "list: integer[], json",
                    "mood: s.mood, text", "fixed: text, text",
                ])
            #expect(try await !told([]).contains { $0.table == "typed" })
        }
    }

    @Test("Who may do what follows the registration, without a restart")
    func changing() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            let opened = try RegistrationFile.parse(
                "tables:\n  - table: s.prices\n    owner: owner\n    write: []")
            try await Registration.apply(
                SyncedDatabase.registrations + opened, on: database.sql)
            _ = try await database.source.refresh()
            // Nobody may write, and the table that is no longer named is not registered.
            #expect(
                try await database.outcomes(
                    "ann", change(1, "INSERT", "prices", id("1"), "{}"),
                    change(2, "INSERT", "audits", id("2"), "{}"))
                    == ["invalid forbidden_table", "invalid unregistered_table"])
        }
    }

    @Test("A role that is no name is refused where it is written")
    func names() {
        for (yaml, place) in [("read: [a b]", ".read"), ("write: ['']", ".write")] {
            let error = #expect(throws: RegistrationError.self) {
                try RegistrationFile.parse("tables:\n  - table: s.t\n    \(yaml)")
            }
            #expect(error?.description.contains(place) == true)
        }
    }
}
