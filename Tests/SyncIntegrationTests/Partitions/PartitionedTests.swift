@testable import DownloadService
import Foundation
import Model
import Postgres
import Protos
import RPC
@testable import Sidecar
import Telemetry
import Testing
@testable import UploadService

/// The core of what there is, on tables that are split. `OVERSYNC_TEST_PARTITIONS=4` runs the other
/// suites so.
@Suite("Tables with partitions", .timeLimit(.minutes(4)))
struct PartitionedTests {
    private static let partitions = 4
    private static let users = (0..<12).map { "user\($0)" }

    /// What devices and plain SQL do, and what each user's devices see of it.
    private static func story(_ database: SyncedDatabase) async throws -> [String] {
        var lines: [String] = []
        for (number, user) in users.enumerated() {
            let note = id("\(number + 10)01")
            let item = #"{"note_id":"\#(note)"}"#
            let orphan = #"{"note_id":"00000000-0000-4000-8000-0000000000ff"}"#
            lines += try await database.outcomes(
                user, change(1, "INSERT", "notes", note, #"{"title":"one"}"#),
                change(2, "INSERT", "items", id("\(number + 10)02"), item),
                change(3, "INSERT", "prefs", "colour", #"{"value":"red"}"#),
                change(4, "UPDATE", "notes", note, base: 1, #"{"title":"two"}"#))
            // Sent again, stale, and without its parent.
            lines += try await database.outcomes(
                user, change(4, "UPDATE", "notes", note, base: 1, #"{"title":"two"}"#),
                change(5, "UPDATE", "notes", note, base: 1, #"{"title":"late"}"#),
                change(6, "INSERT", "items", id("\(number + 10)03"), orphan))
            lines += try await database.outcomes(
                user, device: "laptop", atomic: true,
                change(1, "INSERT", "tags", "tag\(number)", #"{"label":"x"}"#),
                change(2, "DELETE", "prefs", "colour", base: 1))
        }
        try await database.execute(
            """
            UPDATE s.notes SET title = title || '!';
            DELETE FROM s.notes WHERE owner = 'user3';
            INSERT INTO s.prefs SELECT owner, 'new', 'x' FROM s.notes;
            """)
        for user in users { lines += try await database.feed(user) }
        // Page by page.
        for user in users.prefix(2) {
            var after: Int64 = 0
            repeat {
                let page = try await database.pull(user) {
                    ($0.after, $0.limit, $0.includeSelf) = (after, 2, true)
                }
                lines.append("\(page.message.rows) to \(page.message.nextAfter)")
                after = page.message.hasMore_p ? page.message.nextAfter : 0
            } while after > 0
        }
        lines += try await database.verify().0
        return lines
    }

    @Test("Uploads, conflicts, pages and the capture of plain SQL are as without partitions")
    func sameStory() async throws {
        var stories: [[String]] = []
        for partitions in [1, Self.partitions] {
            try await SyncedDatabase.with(partitions: partitions) { database in
                #expect(try await Partitioning.current(on: database.sql) == partitions)
                stories.append(try await Self.story(database))
            }
        }
        #expect(stories[0].count > 150)
        #expect(stories[1] == stories[0])
    }

    @Test("Users are spread over the partitions, whose sizes are measured together and alone")
    func spread() async throws {
        try await SyncedDatabase.with(partitions: Self.partitions) { database in
            _ = try await Self.story(database)
            try await database.execute("ANALYZE; SELECT pg_stat_force_next_flush(); SELECT 1")
            let used = try await database.value(
                "SELECT count(DISTINCT tableoid)::text FROM sync.change_log")
            #expect(used == "\(Self.partitions)")
            let gauges = SidecarGauges(pool: database.pool, logger: SyncedDatabase.logger)
            let registry = MetricsRegistry()
            gauges.report(to: registry)
            try await gauges.read()
            let health = try #require(gauges.reading()?.health)
            let changes = try await database.value("SELECT count(*)::text FROM sync.change_log")
            let log = try #require(health.tables.first { $0.table == "change_log" })
            #expect(log.estimatedRows.map(String.init) == changes && log.bloatBytes != nil)
            let states = health.parts.filter { $0.table == "row_state" }
            #expect(states.count == Self.partitions)
            let text = registry.rendered()
            for label in [#"table="change_log""#, #"partition="change_log_p3""#] {
                #expect(text.contains(label))
            }
            let overview = try await database.pool.withConnection {
                try await DatabaseOverview.read(on: $0)
            }
            #expect(overview.estimatedChanges.map(String.init) == changes)
            let both = health.tables.filter { PartitionStatements.tables.contains($0.table) }
            let bytes = both.reduce(0) { $0 + $1.bytes }
            #expect(overview.logBytes == bytes)
        }
    }

    @Test("Compaction, verification and repair work; floors and digests stay right")
    func upkeep() async throws {
        try await SyncedDatabase.with(partitions: Self.partitions) { database in
            _ = try await Self.story(database)
            try await database.execute("UPDATE sync.change_log SET ts = now() - interval '1 year'")
            let summary = try await database.compact(Retention(superseded: 1, tombstones: 1))
            #expect(summary.users == Self.users.count && summary.tombstones >= Self.users.count)
            #expect(try await database.verify().0 == [])
            for user in Self.users {
                let terms = try await database.termsOfPages(user)
                let sums = try await database.sums(user)
                #expect(sums == SyncedDatabase.sums(terms))
            }
            // What capture did not see.
            try await database.execute(
                """
                SET session_replication_role = replica;
                UPDATE s.notes SET title = 'unseen' WHERE owner = 'user1';
                DELETE FROM sync.row_state r USING sync.scope s
                WHERE s.scope_id = r.scope_id AND s.user_id = 'user2' AND NOT r.deleted;
                SET session_replication_role = origin;
                """)
            let found = try await database.verify().0
            #expect(!found.isEmpty)
            let left = try await database.verify(repair: true).0
            #expect(left == [])
            let title = try await database.download("user1").last { $0.table == "notes" }
            #expect(title?.payload?["title"] == "unseen")
        }
    }

    /// As the services' sessions are set.
    private static let settings = PostgresConfiguration.serviceSession
        .map { "SET \($0.key) = '\($0.value)';" }.joined(separator: " ")

    /// Statements that concern many users, or find a scope by its user.
    private static let ofManyUsers: Set = [
        DownloadStatements.ReadHeads.statement.name, DownloadStatements.ReadGrown.statement.name,
        DeviceStatements.ReadDeviceUse.statement.name, DeviceStatements.claim.name,
        MeasuringStatements.ReadBacklog.statement.name, FailureStatements.probe.name,
        FailureStatements.resolve.name, OpenFailures.List.statement.name,
    ]

    @Test("Every hot statement reads one partition of a table")
    func onePartition() async throws {
        try await SyncedDatabase.with(partitions: Self.partitions) { database in
            _ = try await Self.story(database)
            let scope = try #require(
                try await database.value(
                    "SELECT scope_id::text FROM sync.scope WHERE user_id = 'user5'"))
            let all =
                UploadStatements.all + DownloadStatements.all + FailureStatements.all
                + CompactionStatements.all
            var readers = 0
            for preparation in ["", "ANALYZE;"] {
                try await database.execute("\(preparation) \(Self.settings) DISCARD PLANS;")
                for statement in all where !Self.ofManyUsers.contains(statement.name) {
                    let read = try await Self.partitionsRead(by: statement, scope, database)
                    for table in PartitionStatements.tables {
                        let parts = read.filter { $0.hasPrefix(table) }
                        #expect(parts.count <= 1, "\(statement.name) reads \(parts.sorted())")
                    }
                    if !read.isEmpty { readers += 1 }
                }
            }
            #expect(readers > 30)
        }
    }

    /// The partitions that a statement for one scope reads.
    private static func partitionsRead(
        by statement: Statement, _ scope: String, _ database: SyncedDatabase
    ) async throws -> Set<String> {
        let verbs = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"]
        guard verbs.contains(where: statement.sql.hasPrefix) else { return [] }
        let name = "part_\(statement.name)"
        let oids = statement.parameters.map { "\($0.rawValue)" }.joined(separator: ",")
        let types = try await database.value(
            """
            SELECT string_agg(format_type(o, NULL), ', ' ORDER BY n)
            FROM unnest('{\(oids)}'::oid[]) WITH ORDINALITY AS u(o, n)
            """)
        let list = statement.parameters.isEmpty ? "" : "(\(types ?? ""))"
        let values = statement.parameters.enumerated().map { place, type in
            place == 0 && type == .int8 ? scope : "NULL"
        }.joined(separator: ", ")
        try await database.execute("PREPARE \(name)\(list) AS \(statement.sql)")
        let text = try await database.value(
            "EXPLAIN (FORMAT JSON) EXECUTE \(name)\(values.isEmpty ? "" : "(\(values))")")
        try await database.execute("DEALLOCATE \(name)")
        let json = try JSONSerialization.jsonObject(with: Data((text ?? "").utf8))
        let plan = try #require((json as? [[String: Any]])?.first?["Plan"] as? [String: Any])
        return partitions(in: plan)
    }

    private static func partitions(in node: [String: Any]) -> Set<String> {
        var found: Set<String> = []
        for plan in node["Plans"] as? [[String: Any]] ?? [] {
            found.formUnion(partitions(in: plan))
        }
        let type = node["Node Type"] as? String ?? ""
        if type.hasSuffix("Scan"), let table = node["Relation Name"] as? String,
            table.contains(/_p\d+$/)
        {
            found.insert(table)
        }
        return found
    }

    /// By the counts of the transaction: what triggers do is no part of a plan.
    @Test("Plain SQL on one user's row writes to one partition of a table")
    func capture() async throws {
        try await SyncedDatabase.with(partitions: Self.partitions) { database in
            _ = try await Self.story(database)
            for write in [
                "UPDATE s.notes SET title = 'again' WHERE owner = 'user5'",
                "INSERT INTO s.notes (id, owner) VALUES ('\(id("a55"))', 'user5')",
                "DELETE FROM s.notes WHERE id = '\(id("a55"))'",
            ] {
                // Without it the counts have what this session did shortly before.
                try await database.execute("SELECT pg_stat_force_next_flush()")
                try await database.execute("BEGIN; \(write)")
                let written = try await database.value(
                    """
                    SELECT string_agg(DISTINCT split_part(relname, '_p', 1), ' ') || ' '
                        || count(*) FROM pg_stat_xact_all_tables
                    WHERE schemaname = 'sync' AND relname ~ '^(change_log|row_state)_p'
                        AND n_tup_ins + n_tup_upd > 0
                    """)
                try await database.execute("COMMIT")
                #expect(written == "change_log row_state 2", "\(write)")
            }
        }
    }
}
