import DatabaseKit
import Foundation
import Model
import NIOCore
import Postgres
import Protos
import RPC
import Sidecar
import SwiftProtobuf
import Telemetry
import Testing
import WireJSON

@testable import UploadService

/// What administrators look at, as Upload answers it.
@Suite("What administrators look at")
struct InspectTests {
    private static func calls(
        _ database: SyncedDatabase, _ conflicts: ConflictMemory = ConflictMemory(replica: "r")
    ) -> Inspect {
        Inspect(
            pool: database.pool, source: database.source,
            administrators: Administrators(role: "admin"),
            gauges: SidecarGauges(pool: database.pool, logger: SyncedDatabase.logger),
            conflicts: conflicts)
    }

    private static func ask(
        _ inspect: Inspect, _ view: InspectRequest.View, roles: [String] = ["admin"],
        _ fill: (inout InspectRequest) -> Void = { _ in }
    ) async throws -> [String: Any] {
        var request = InspectRequest()
        request.view = view
        fill(&request)
        let context = CallContext(
            requestID: "t", deadline: .now + .seconds(30),
            caller: CallerIdentity(user: "root", device: "console", roles: roles))
        let body = try await inspect(request, context).body
        let json = try JSONSerialization.jsonObject(with: Data(body.readableBytesView))
        return try #require(json as? [String: Any])
    }

    @Test("Nobody else is answered, whatever the gateway has said")
    func role() async throws {
        try await SyncedDatabase.with { database in
            let inspect = Self.calls(database)
            let views: [InspectRequest.View] = [
                .overview, .tables, .device, .row, .conflicts, .audit, .requests, .unspecified,
            ]
            for view in views {
                let code = await database.code {
                    _ = try await Self.ask(inspect, view, roles: ["staff"])
                }
                #expect(code == "forbidden", "\(view)")
            }
            let code = await database.code {
                _ = try await Self.ask(inspect, .unspecified)
            }
            #expect(code == "invalid_request")
        }
    }

    @Test("The history of a row with an integer key is found by its digits")
    func rowOfNumber() async throws {
        try await SyncedDatabase.with(
            tables: "CREATE TABLE s.counted (id int PRIMARY KEY, owner text)",
            registered: "  - {table: s.counted, owner: owner}"
        ) { database in
            let inspect = Self.calls(database)
            try await database.upload("ann", change(1, "INSERT", "counted", "-5", "{}"))
            for (key, count) in [("-5", 1), ("5", 0)] {
                let answer = try await Self.ask(inspect, .row) {
                    ($0.user, $0.schema, $0.table, $0.key) = ("ann", "s", "counted", key)
                }
                #expect((answer["changes"] as? [[String: Any]])?.count == count)
            }
            let code = await database.code {
                _ = try await Self.ask(inspect, .row) {
                    ($0.user, $0.schema, $0.table, $0.key) = ("ann", "s", "counted", "05")
                }
            }
            #expect(code == "not_found")
        }
    }

    @Test("The history of a row: every change, newest first, its own user's alone; recorded")
    func row() async throws {
        try await SyncedDatabase.with { database in
            let inspect = Self.calls(database)
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"one"}"#),
                change(2, "INSERT", "notes", id("a2"), #"{"title":"other"}"#))
            try await database.upload(
                "ann", device: "laptop",
                change(1, "UPDATE", "notes", id("a1"), base: 1, #"{"title":"two"}"#))
            try await database.execute(
                "UPDATE s.notes SET title = 'three' WHERE id = '\(id("a1"))'")
            try await database.upload("ann", change(3, "DELETE", "notes", id("a1"), base: 3))
            func history(of user: String, _ key: String) async throws -> [String] {
                let answer = try await Self.ask(inspect, .row) {
                    ($0.user, $0.schema, $0.table, $0.key) = (user, "s", "notes", key)
                }
                #expect(answer["has_more"] as? Bool == false)
                return (answer["changes"] as? [[String: Any]] ?? []).map { change in
                    let title = (change["payload"] as? [String: Any])?["title"] as? String
                    return "\(change["op"] ?? "") \(change["source_id"] ?? "sql") "
                        + "\(change["server_version"] ?? "") \(title ?? "-")"
                }
            }
            #expect(
                try await history(of: "ann", id("a1")) == [
                    "DELETE phone 4 -", "UPDATE sql 3 three", "UPDATE laptop 2 two",
                    "INSERT phone 1 one",
                ])
            #expect(try await history(of: "bob", id("a1")).isEmpty)
            for (table, key) in [("notes", "no uuid"), ("nothing", id("a1"))] {
                let code = await database.code {
                    _ = try await Self.ask(inspect, .row) {
                        ($0.user, $0.schema, $0.table, $0.key) = ("ann", "s", table, key)
                    }
                }
                #expect(code == "not_found")
            }
            let recorded = try await database.value(
                """
                SELECT string_agg(concat_ws(' ', actor, target, outcome), ', ' ORDER BY id)
                FROM sync.audit WHERE action = 'row.read'
                """)
            #expect(
                recorded == """
                    root ann/s.notes/\(id("a1")) done, root bob/s.notes/\(id("a1")) done
                    """)
            let audit = try await Self.ask(inspect, .audit) {
                ($0.action, $0.limit) = ("row.read", 1)
            }
            #expect(audit["has_more"] as? Bool == true)
            let rows = try #require(audit["rows"] as? [[String: Any]])
            #expect(rows.map { $0["target"] as? String } == ["bob/s.notes/\(id("a1"))"])
            let older = try await Self.ask(inspect, .audit) {
                ($0.action, $0.limit) = ("row.read", 10)
                $0.before = Int64((rows.first?["id"] as? Int) ?? 0)
            }
            #expect((older["rows"] as? [Any])?.count == 1)
        }
    }

    @Test("A visit to a gateway's live tail is a row of the audit, and shows nothing")
    func requests() async throws {
        try await SyncedDatabase.with { database in
            let inspect = Self.calls(database)
            let answer = try await Self.ask(inspect, .requests) { $0.key = "gw-1" }
            #expect(answer.isEmpty)
            let recorded = try await database.value(
                """
                SELECT concat_ws(' ', actor, action, target, outcome)
                FROM sync.audit WHERE action LIKE 'request.%'
                """)
            #expect(recorded == "root request.list gw-1 done")
        }
    }

    @Test("The last conflicts of a replica, with keys and no values; bounded")
    func conflicts() async throws {
        try await SyncedDatabase.with { database in
            let memory = ConflictMemory(replica: "r-1")
            let inspect = Self.calls(database, memory)
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"secret"}"#))
            let body = change(1, "INSERT", "notes", id("a1"), #"{"title":"mine"}"#)
            let (batch, result) = try await database.executor.upload(
                ByteBuffer(string: #"{"changes":[\#(body)]}"#),
                from: CallerIdentity(user: "ann", device: "laptop"),
                deadline: .now + .seconds(30))
            for _ in 0...ConflictMemory.capacity {
                memory.add(result, of: batch, from: "ann", "laptop")
            }
            let answer = try await Self.ask(inspect, .conflicts)
            #expect(answer["replica"] as? String == "r-1")
            let conflicts = try #require(answer["conflicts"] as? [[String: Any]])
            #expect(conflicts.count == ConflictMemory.capacity)
            let first = try #require(conflicts.first)
            #expect(first["pk"] as? String == id("a1") && first["table"] as? String == "notes")
            #expect(first["source_id"] as? String == "laptop")
            #expect(first["other_source_id"] as? String == "phone")
            #expect(first["base_version"] as? Int == 0 && first["server_version"] as? Int == 1)
            #expect(!memory.document.text.contains("secret"))
        }
    }

    @Test("The database and its tables, as the command line has them")
    func overview() async throws {
        try await SyncedDatabase.with { database in
            let inspect = Self.calls(database)
            try await database.upload("ann", change(1, "INSERT", "notes", id("a1"), "{}"))
            let overview = try await Self.ask(inspect, .overview)
            #expect(overview["users"] as? Int == 1 && overview["registered_tables"] as? Int == 5)
            #expect(
                overview["epoch"] as? String
                    == (try await database.value(
                        "SELECT epoch::text FROM sync.meta")))
            let tables = try await Self.ask(inspect, .tables)["tables"] as? [[String: Any]] ?? []
            #expect(tables.count == 5)
            #expect(tables.allSatisfy { $0["is_captured"] as? Bool == true })
        }
    }

    @Test("What the tables of the sidecar need is there once it was measured, by partition, too")
    func upkeep() async throws {
        try await SyncedDatabase.with(partitions: 2) { database in
            let gauges = SidecarGauges(pool: database.pool, logger: SyncedDatabase.logger)
            let inspect = Inspect(
                pool: database.pool, source: database.source,
                administrators: Administrators(role: "admin"), gauges: gauges,
                conflicts: ConflictMemory(replica: "r"))
            let before = try await Self.ask(inspect, .overview)
            #expect(before["sidecar"] == nil && before["warnings"] == nil)
            try await gauges.read()
            let overview = try await Self.ask(inspect, .overview)
            let tables = overview["sidecar"] as? [[String: Any]] ?? []
            let log = try #require(tables.first { $0["table"] as? String == "change_log" })
            #expect(log["vacuum_above_rows"] as? Int == 100)
            let partitions = log["partitions"] as? [[String: Any]] ?? []
            let names = partitions.compactMap { $0["partition"] as? String }
            #expect(names == ["change_log_p0", "change_log_p1"])
            let scopes = try #require(tables.first { $0["table"] as? String == "scope" })
            #expect(scopes["partitions"] == nil && scopes["last_vacuum"] == nil)
            #expect((overview["warnings"] as? [Any])?.isEmpty == true)
        }
    }
}
