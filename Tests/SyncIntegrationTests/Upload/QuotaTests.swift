import DatabaseKit
import Model
import Postgres
import Protos
import RPC
import SeededRandom
import ServiceKit
import Sidecar
import SwiftProtobuf
import Testing

@testable import UploadService

/// How much a user may have, as real uploads, plain SQL and compaction use it.
@Suite("Quotas") struct QuotaTests {
    static func settings(
        rows: Int? = nil, bytes: Int? = nil, devices: Int? = nil
    ) -> [String: String] {
        [
            QuotaSettings.rows.key: rows, QuotaSettings.bytes.key: bytes,
            QuotaSettings.devices.key: devices,
        ].compactMapValues { $0.map { "\($0)" } }
    }

    static func insertion(_ number: Int, _ payload: String = "{}") -> String {
        change(number, "INSERT", "notes", id("\(number)"), payload)
    }

    static func deletion(_ change: Int, of number: Int, base: Int = 1) -> String {
        SyncIntegrationTests.change(change, "DELETE", "notes", id("\(number)"), base: base)
    }

    /// All that devices are shown of a note but its key.
    static func whole(_ title: String) -> String {
        #"{"title":"\#(title)","big":null,"photo":null,"at":null,"extra":null}"#
    }

    static let full = "materialize_error OV006"

    @Test("Over it new rows are rejected, and edits, deletes, repeats and other users go on")
    func rows() async throws {
        try await SyncedDatabase.with(settings: Self.settings(rows: 2)) { database in
            let first = Self.insertion(1)
            let answers = try await database.outcomes(
                "ann", first, Self.insertion(2), Self.insertion(3))
            #expect(answers == ["applied 1", "applied 1", Self.full])
            // The answer was lost: what was applied is known, what was not is judged again.
            let again = try await database.outcomes(
                "ann", first, Self.insertion(2), Self.insertion(3))
            #expect(again == answers)
            let edit = change(4, "UPDATE", "notes", id("1"), base: 1, #"{"title":"long"}"#)
            #expect(try await database.outcomes("ann", edit) == ["applied 2"])
            #expect(try await database.outcomes("bob", Self.insertion(11)) == ["applied 1"])
            #expect(try await database.outcomes("ann", Self.deletion(5, of: 2)) == ["applied 2"])
            #expect(try await database.outcomes("ann", Self.insertion(3)) == ["applied 1"])
            // All or nothing: a row is exchanged for another.
            let exchange = try await database.outcomes(
                "ann", atomic: true, Self.insertion(6), Self.deletion(7, of: 3))
            #expect(exchange == ["applied 1", "applied 2"])
            let none = try await database.outcomes(
                "ann", atomic: true, Self.insertion(8), edit.replacing(":4,", with: ":9,"))
            #expect(none.contains(Self.full))
            let failures = try await database.value(
                "SELECT count(*)::text FROM sync.materialize_failures")
            #expect(failures == "0", "there is nothing for an operator to mend")
            try await database.expectCounted("ann", rows: 2)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Bytes are those of the newest payloads; what shortens a row is always applied")
    func bytes() async throws {
        try await SyncedDatabase.with(settings: Self.settings(bytes: 1024)) { database in
            let long = String(repeating: "x", count: 900)
            let answers = try await database.outcomes(
                "ann", Self.insertion(1, #"{"title":"\#(long)"}"#), Self.insertion(2),
                Self.insertion(3, #"{"title":"\#(long)"}"#))
            #expect(answers == ["applied 1", "applied 1", Self.full])
            let longer = change(
                4, "UPDATE", "notes", id("2"), base: 1, #"{"title":"\#(long)"}"#)
            #expect(try await database.outcomes("ann", longer) == [Self.full])
            let shorter = change(5, "UPDATE", "notes", id("1"), base: 1, Self.whole("x"))
            #expect(try await database.outcomes("ann", shorter) == ["applied 2"])
            #expect(try await database.outcomes("ann", longer) == ["applied 2"])
            try await database.expectCounted("ann", rows: 2)
        }
    }

    @Test("What plain SQL writes counts, and is never refused")
    func plainSQL() async throws {
        try await SyncedDatabase.with(settings: Self.settings(rows: 2)) { database in
            try await database.execute(
                """
                INSERT INTO s.notes (id, owner)
                SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'ann'
                FROM generate_series(1, 4) n
                """)
            #expect(try await database.outcomes("ann", Self.insertion(9)) == [Self.full])
            try await database.execute("DELETE FROM s.notes WHERE id <> '\(id("1"))'")
            #expect(try await database.outcomes("ann", Self.insertion(9)) == ["applied 1"])
            #expect(try await database.outcomes("ann", Self.insertion(8)) == [Self.full])
            try await database.expectCounted("ann", rows: 2)
        }
    }

    @Test("A row is given back whose delete was compacted before it was counted")
    func compacted() async throws {
        try await SyncedDatabase.with(settings: Self.settings(rows: 1)) { database in
            #expect(try await database.outcomes("ann", Self.insertion(1)) == ["applied 1"])
            #expect(try await database.outcomes("ann", Self.insertion(2)) == [Self.full])
            try await database.execute("DELETE FROM s.notes")
            _ = try await database.compact(Retention(superseded: 0, tombstones: 0))
            #expect(try await database.outcomes("ann", Self.insertion(2)) == ["applied 1"])
            try await database.expectCounted("ann", rows: 1)
        }
    }

    @Test("A long log is counted in parts, also by uploads that are rejected")
    func parts() async throws {
        try await SyncedDatabase.with(settings: Self.settings(rows: 4)) { database in
            #expect(try await database.outcomes("ann", Self.insertion(1)) == ["applied 1"])
            let rows = Int(UploadStatements.CountUsage.maximumChanges) * 2
            try await database.execute(
                """
                INSERT INTO s.notes (id, owner)
                SELECT gen_random_uuid(), 'ann' FROM generate_series(1, \(rows))
                """)
            #expect(try await database.outcomes("ann", Self.insertion(2)) == [Self.full])
            try await database.execute("DELETE FROM s.notes WHERE id <> '\(id("1"))'")
            var tries = 0
            while try await database.outcomes("ann", Self.insertion(2)) == [Self.full] {
                tries += 1
                try #require(tries < 10)
            }
            #expect(tries > 0, "it took more than one upload")
            try await database.expectCounted("ann", rows: 2)
        }
    }

    @Test("Uploads that share a transaction share the room")
    func groups() async throws {
        try await SyncedDatabase.with(settings: Self.settings(rows: 3)) { database in
            #expect(try await database.outcomes("ann", Self.insertion(1)) == ["applied 1"])
            let members = (2...6).map {
                SyncedDatabase.Member(device: "d\($0)", changes: Self.insertion($0))
            }
            let lines = try await database.lines("ann", members)
            #expect(
                lines == [["applied 1"], ["applied 1"], [Self.full], [Self.full], [Self.full]])
            #expect(database.executor.groups.writtenGroups == 1)
            try await database.expectCounted("ann", rows: 3)
            let freed = try await database.lines(
                "ann",
                [
                    .init(device: "d2", changes: Self.deletion(7, of: 2)),
                    .init(device: "d4", changes: Self.insertion(4)),
                ])
            #expect(freed == [["applied 2"], ["applied 1"]])
        }
    }

    @Test("A refused row beside others takes no room, and each of the others is judged with it")
    func isolated() async throws {
        try await SyncedDatabase.with(settings: Self.settings(rows: 2)) { database in
            func item(_ number: Int, _ payload: String = #"{"n":1}"#) -> String {
                change(number, "INSERT", "items", id("\(number)"), payload)
            }
            let answers = try await database.outcomes(
                "ann", item(1, #"{"n":"none"}"#), item(2), item(3), item(4))
            #expect(
                answers == ["materialize_error 22P02", "applied 1", "applied 1", Self.full])
            let failures = try await database.value(
                "SELECT string_agg(sqlstate, ',') FROM sync.materialize_failures")
            #expect(failures == "22P02")
            try await database.expectCounted("ann", rows: 2)
        }
    }

    @Test("A further device is refused until another one is revoked; those that wrote go on")
    func devices() async throws {
        try await SyncedDatabase.with(settings: Self.settings(devices: 2)) { database in
            try await database.upload("ann", device: "phone", Self.insertion(1))
            try await database.upload("ann", device: "laptop", Self.insertion(2))
            func third(_ number: Int) async -> String {
                await database.code {
                    try await database.upload("ann", device: "third", Self.insertion(number))
                }
            }
            #expect(await third(3) == "too_many_devices")
            let together = try await database.together(
                "ann",
                [
                    .init(device: "phone", changes: Self.insertion(4)),
                    .init(device: "third", changes: Self.insertion(3)),
                    .init(device: "laptop", changes: Self.insertion(5)),
                ])
            let codes = together.map { result -> String? in
                guard case .failure(let error) = result else { return nil }
                return (error as? RPCFailure)?.code
            }
            #expect(codes == [nil, "too_many_devices", nil])
            let claim = ClaimDevice(
                pool: database.pool, maximumDevices: 1000, quota: 2, logger: SyncedDatabase.logger)
            func claiming(_ device: String) async -> String {
                await database.code {
                    _ = try await claim(
                        CallContext(
                            requestID: "t", deadline: .now + .seconds(30),
                            caller: CallerIdentity(user: "ann", device: device)))
                }
            }
            #expect(await claiming("named") == "too_many_devices")
            #expect(await claiming("phone") == "served")
            let administration = AdministerDevices(
                pool: database.pool, administrators: Administrators(role: "admin"),
                quotas: database.executor.quotas)
            let root = CallContext(
                requestID: "t", deadline: .now + .seconds(30),
                caller: CallerIdentity(user: "root", device: "console", roles: ["admin"]))
            _ = try await administration.setAccess(
                .with { ($0.user, $0.device) = ("ann", "laptop") }, root)
            #expect(await third(3) == "served")
            #expect(await claiming("named") == "too_many_devices")
            let shown = try await administration.show(.with { $0.user = "ann" }, root).message
            #expect(shown.rows == 5 && shown.deviceQuota == 2 && shown.rowQuota == 0)
            #expect(!shown.isCounted && !shown.moreRows)
            #expect(try await database.value("SELECT count(*)::text FROM sync.usage") == "0")
        }
    }

    @Test("Without quotas nothing is counted; turned on, all of it is", arguments: 1...6)
    func walk(seed: UInt64) async throws {
        try await SyncedDatabase.with { database in
            var random = SeededGenerator(seed: seed)
            let counting = try SyncedDatabase(
                database.url, database.sql, reaching: PostgresConfiguration(url: database.url),
                Self.settings(rows: 12, bytes: 4000))
            var next = 0
            for step in 0..<60 {
                // Off at first, and once more in the middle.
                let stack = step < 10 || (30..<40).contains(step) ? database : counting
                if step == 10 {
                    let none = try await database.value(
                        """
                        SELECT concat((SELECT count(*) FROM sync.usage), ' ',
                            (SELECT count(counted_bytes) FROM sync.row_state))
                        """)
                    #expect(none == "0 0")
                }
                let key = id("\(Int.random(in: 1...16, using: &random))")
                next += 1
                let title = String(repeating: "t", count: .random(in: 0...700, using: &random))
                switch Int.random(in: 0...9, using: &random) {
                case 0:
                    try await database.execute(
                        """
                        INSERT INTO s.notes (id, owner, title) VALUES ('\(key)', 'ann', '\(title)')
                        ON CONFLICT (id) DO UPDATE SET title = excluded.title
                        """)
                case 1: try await database.execute("DELETE FROM s.notes WHERE id = '\(key)'")
                case 2: _ = try await database.compact(Retention(superseded: 0, tombstones: 0))
                default:
                    let base = try await database.value(
                        """
                        SELECT r.version::text FROM sync.row_state r JOIN sync.catalog c
                            USING (table_id)
                        WHERE c.table_name = 'notes' AND r.key = uuid_send('\(key)')
                        """)
                    let isDelete = Int.random(in: 0...3, using: &random) == 0
                    _ = try await stack.outcomes(
                        "ann",
                        change(
                            next, isDelete ? "DELETE" : "UPDATE", "notes", key,
                            base: base.flatMap { Int($0) } ?? 0,
                            isDelete ? nil : Self.whole(title)))
                }
            }
            try await counting.expectCounted("ann")
            #expect(try await database.verify().0 == [])
        }
    }
}
