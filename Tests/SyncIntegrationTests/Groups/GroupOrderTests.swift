import Model
import NIOCore
import Postgres
import RPC
import ServiceKit
import Sidecar
import Testing

@testable import UploadService

/// Uploads of a group that do not meet by their rows, and all the same depend on their order.
@Suite("Order and limits of groups") struct GroupOrderTests {
    private static func withAnn(
        tables: String = "", registered yaml: String = "",
        settings: [String: String] = ["OVERSYNC_UPLOAD_LOCK_TIMEOUT_MS": "20000"],
        _ body: (SyncedDatabase) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with(tables: tables, registered: yaml, settings: settings) {
            try await $0.upload(
                "ann", device: "first", change(1, "INSERT", "notes", id("a0"), "{}"))
            try await body($0)
        }
    }

    private static func seat(_ number: Int, _ row: String, base: Int = 0, _ n: Int) -> String {
        change(
            number, base == 0 ? "INSERT" : "UPDATE", "seats", id(row), base: base,
            #"{"n":\#(n)}"#)
    }

    private static func insertion(_ number: Int, of device: String) -> SyncedDatabase.Member {
        .init(device: device, changes: change(number, "INSERT", "notes", id("a\(number)"), "{}"))
    }

    @Test(
        "P3: no row takes a unique value that an upload behind it frees",
        arguments: ["", "DEFERRABLE INITIALLY DEFERRED"], [false, true])
    func freedBehind(deferral: String, byUpdatesAlone: Bool) async throws {
        let tables =
            "CREATE TABLE s.seats (id uuid PRIMARY KEY, owner text, n int UNIQUE \(deferral));"
        try await Self.withAnn(tables: tables, registered: "  - {table: s.seats, owner: owner}") {
            database in
            try await database.upload(
                "ann", device: "first", Self.seat(2, "0", 1), Self.seat(3, "2", 3))
            let taker =
                byUpdatesAlone
                ? [Self.seat(1, "0", base: 1, 3)]
                : [Self.seat(1, "0", base: 1, 9), Self.seat(2, "9", 3)]
            let lines = try await database.lines(
                "ann",
                [
                    .init(device: "phone", changes: taker.joined(separator: ",")),
                    .init(device: "tablet", changes: Self.seat(1, "2", base: 1, 4)),
                ])
            let taken = "materialize_error 23505"
            #expect(lines == [byUpdatesAlone ? [taken] : ["applied 2", taken], ["applied 2"]])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("P3: no row points to a parent that an upload behind it brings", arguments: [1, 2])
    func parentBehind(way: Int) async throws {
        // By a value that the payload does not name, or names in part.
        let columns = [
            "code text DEFAULT 'k' REFERENCES s.tags",
            """
            who text DEFAULT 'ann', code text,
            FOREIGN KEY (who, code) REFERENCES s.prefs (owner, code)
            """,
        ]
        let tables = "CREATE TABLE s.marked (id uuid PRIMARY KEY, owner text, \(columns[way - 1]));"
        try await Self.withAnn(tables: tables, registered: "  - {table: s.marked, owner: owner}") {
            database in
            let payload = way == 1 ? "{}" : #"{"code":"k"}"#
            let parent = change(1, "INSERT", way == 1 ? "tags" : "prefs", "k", "{}")
            let lines = try await database.lines(
                "ann",
                [
                    .init(
                        device: "phone",
                        changes: change(1, "INSERT", "marked", id("1"), payload)),
                    .init(device: "tablet", changes: parent),
                ])
            #expect(lines[0] != ["applied 1"])
            #expect(lines[1] == ["applied 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("P6: policies are told of the user, also those that came while uploads waited")
    func policies() async throws {
        // What is written without claims would be bob's.
        let policies = """
            CREATE POLICY own ON s.tasks USING (coalesce(s.claim('sub'), 'bob') = 'bob');
            """
        try await Policies.with(policies) { database in
            try await database.upload(
                "ann", device: "first", change(1, "INSERT", "notes", id("a0"), "{}"))
            let lines = try await database.lines(
                "ann",
                ["1", "2"].map {
                    .init(device: $0, changes: Policies.task(1, "INSERT", $0, "{}"))
                })
            #expect(lines == [[Policies.rejected], [Policies.rejected]])
        }
    }

    @Test("Behind an upload that waits, those of a broken group are told in time to come again")
    func busy() async throws {
        let settings = [
            "OVERSYNC_UPLOAD_LOCK_TIMEOUT_MS": "300",
            "OVERSYNC_UPLOAD_ROW_LOCK_TIMEOUT_MS": "10000",
        ]
        try await Self.withAnn(settings: settings) { database in
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            try await other.execute(
                script: "BEGIN; SELECT FROM s.notes WHERE id = '\(id("a0"))' FOR UPDATE")
            let held = change(2, "UPDATE", "notes", id("a0"), base: 1, #"{"title":"x"}"#)
            let members = [
                SyncedDatabase.Member(device: "one", changes: held),
                Self.insertion(2, of: "two"), Self.insertion(3, of: "three"),
            ]
            let uploads = try members.map { member in
                try database.executor.queued(
                    ByteBuffer(string: #"{"changes":[\#(member.changes)]}"#),
                    from: CallerIdentity(user: "ann", device: member.device), .init(),
                    deadline: .now + .seconds(30))
            }
            let (answers, continuation) = AsyncStream.makeStream(
                of: (place: Int, outcome: Result<AnsweredUpload, any Error>).self)
            let executor = database.executor
            let writing = Task {
                await executor.write(uploads) { continuation.yield(($0, $1)) }
                continuation.finish()
            }
            var order: [Int] = []
            for await (place, outcome) in answers {
                order.append(place)
                if place > 0 {
                    #expect(throws: RPCFailure.userIsBusy) { _ = try outcome.get() }
                } else {
                    #expect(try outcome.get().result.outcomes.map(\.line) == ["applied 2"])
                }
                if order.count == 2 { try await other.execute(script: "ROLLBACK") }
            }
            await writing.value
            #expect(order == [1, 2, 0])
        }
    }

    @Test("A device that is left out by now is in no group that it was prepared for")
    func leftOut() async throws {
        try await Self.withAnn { database in
            let left = try database.executor.queued(
                ByteBuffer(string: "{}"), from: CallerIdentity(user: "ann", device: "two"),
                .init(), deadline: .now + .seconds(30))
            let group = [Self.insertion(1, of: "one"), Self.insertion(2, of: "two")]
            database.executor.groups.exclude([left], of: [left])
            let outcomes = try await database.together("ann", group, forgetting: false)
            for outcome in outcomes {
                #expect(try outcome.get().outcomes.map(\.line) == ["applied 1"])
            }
            #expect(database.executor.groups.writtenGroups == 0)
        }
    }
}
