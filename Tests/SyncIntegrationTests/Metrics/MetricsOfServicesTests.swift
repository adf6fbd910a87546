@testable import DownloadService
import Model
import NIOCore
import Postgres
import Protos
import RPC
import ServiceKit
import Telemetry
import Testing
@testable import UploadService

/// What services count, on a real database.
@Suite("Metrics of services", .timeLimit(.minutes(2)))
struct MetricsOfServicesTests {
    private static func insertion(_ number: Int) -> String {
        change(number, "INSERT", "notes", id("\(number + 100)"), #"{"title":"\#(number)"}"#)
    }

    @Test(
        "A download's time leaves the wait for news out, and its page tells how late a change came")
    func wait() async throws {
        try await SyncedDatabase.with { database in
            let registry = MetricsRegistry()
            let metrics = DownloadMetrics(registry)
            try await database.upload("ann", Self.insertion(1))
            _ = try await database.pull("ann", metrics: metrics)
            let start = ContinuousClock.now
            async let waiting = database.pull("ann", metrics: metrics) {
                ($0.after, $0.waitSeconds) = (1, 60)
            }
            while database.heads.waiting == 0 { await Task.yield() }
            // The device waits meanwhile.
            try await database.execute("SELECT pg_sleep(0.5)")
            let result = try await database.upload("ann", Self.insertion(2))
            database.heads.remember(
                result.highestSequence,
                committed: CommitTime(microseconds: WallClock.microseconds), of: UserID("ann"))
            let reply = try await waiting
            let total = (ContinuousClock.now - start).seconds
            #expect(reply.message.rows == 1)
            let waited = registry.value(#"oversync_download_wait_seconds_sum{ended="news"}"#)
            #expect(waited ?? 0 >= 0.5 && waited ?? .infinity <= total)
            #expect(abs(Double(reply.message.waitedUs) / 1e6 - (waited ?? 0)) < 0.001)
            let counted = registry.value(
                #"oversync_download_duration_seconds_count{outcome="answered"}"#)
            #expect(counted == 2)
            // The change was written after the wait began, and the page came before the end.
            let lag = "oversync_download_delivery_lag_seconds"
            #expect(registry.value(lag + #"_count{by="page"}"#) == 1)
            #expect(registry.value(lag + #"_sum{by="page"}"#) ?? .infinity <= total - 0.5)
        }
    }

    @Test("Pages without news count by themselves, and do not change how often more follows")
    func idle() async throws {
        try await SyncedDatabase.with { database in
            let registry = MetricsRegistry()
            let metrics = DownloadMetrics(registry)
            for number in 1...3 { try await database.upload("ann", Self.insertion(number)) }
            _ = try await database.pull("ann", metrics: metrics) { $0.limit = 2 }
            _ = try await database.pull("ann", metrics: metrics) { ($0.after, $0.limit) = (2, 2) }
            for _ in 0..<3 { _ = try await database.pull("ann", metrics: metrics) { $0.after = 3 } }
            _ = try await database.pull("ann", metrics: metrics) {
                ($0.after, $0.fresh) = (3, true)
            }
            #expect(registry.value(#"oversync_download_pages_total{has_more="true"}"#) == 1)
            #expect(registry.value(#"oversync_download_pages_total{has_more="false"}"#) == 1)
            #expect(registry.value("oversync_download_page_rows_count") == 2)
            #expect(registry.value("oversync_download_rows_total") == 3)
            let idle = ["memory", "database"].map {
                registry.value("oversync_download_idle_pages_total{from=\"\($0)\"}") ?? 0
            }
            #expect(idle.reduce(0, +) == 4 && idle[1] >= 1)
        }
    }

    /// Calls `body` while a device watches, with the sequences that it hears after the first.
    private static func watching(
        _ database: SyncedDatabase, _ registry: MetricsRegistry,
        _ body: (inout AsyncStream<Sequence64>.Iterator) async throws -> Void
    ) async throws {
        let watch = WatchHead(
            reader: database.reader, heads: database.heads, metrics: DownloadMetrics(registry),
            logger: SyncedDatabase.logger)
        let (told, teller) = AsyncStream.makeStream(of: Sequence64.self)
        let watching = Task {
            try await watch.follow(
                WatchHeadRequest(),
                CallContext(
                    requestID: "t", deadline: .now + .seconds(60),
                    caller: CallerIdentity(user: "ann", device: "reader"))
            ) { teller.yield($0) }
        }
        defer { watching.cancel() }
        var events = told.makeAsyncIterator()
        #expect(await events.next() == 1)
        while database.heads.waiting == 0 { await Task.yield() }
        try await body(&events)
    }

    private static let eventLag = "oversync_download_delivery_lag_seconds"

    @Test("An event that tells of plain SQL counts how long that took")
    func event() async throws {
        try await SyncedDatabase.with { database in
            let registry = MetricsRegistry()
            try await database.upload("ann", Self.insertion(1))
            try await Self.watching(database, registry) { events in
                try await database.execute(
                    "INSERT INTO s.notes (id, owner) VALUES ('\(id("9"))', 'ann')")
                await database.heads.probe()
                #expect(await events.next() == 2)
                // It counts once the event is on its way.
                while database.heads.waiting == 0 { await Task.yield() }
                #expect(registry.value(Self.eventLag + #"_count{by="event"}"#) == 1)
                #expect(registry.value(Self.eventLag + #"_sum{by="event"}"#) ?? .infinity < 60)
            }
        }
    }

    @Test("An event counts also when another device's page finds the change first")
    func found() async throws {
        try await SyncedDatabase.with { database in
            let registry = MetricsRegistry()
            try await database.upload("ann", Self.insertion(1))
            try await Self.watching(database, registry) { events in
                try await database.execute(
                    "INSERT INTO s.notes (id, owner) VALUES ('\(id("9"))', 'ann')")
                _ = try await database.pull("ann") { ($0.after, $0.fresh) = (1, true) }
                #expect(await events.next() == 2)
                while database.heads.waiting == 0 { await Task.yield() }
                #expect(registry.value(Self.eventLag + #"_count{by="event"}"#) == 1)
            }
        }
    }

    @Test("An event counts from the first change that it tells of, and also when a poll finds it")
    func polled() async throws {
        try await SyncedDatabase.with { database in
            let registry = MetricsRegistry()
            try await database.upload("ann", Self.insertion(1))
            try await Self.watching(database, registry) { events in
                try await database.execute(
                    """
                    INSERT INTO s.notes (id, owner) VALUES ('\(id("8"))', 'ann');
                    INSERT INTO s.notes (id, owner) VALUES ('\(id("9"))', 'ann');
                    UPDATE sync.change_log SET ts = ts - interval '1000 seconds' WHERE seq = 2;
                    """)
                await database.heads.poll()
                #expect(await events.next() == 3)
                while database.heads.waiting == 0 { await Task.yield() }
                #expect(registry.value(Self.eventLag + #"_count{by="event"}"#) == 1)
                let lag = registry.value(Self.eventLag + #"_sum{by="event"}"#) ?? 0
                #expect(lag >= 1000 && lag < 1060)
            }
        }
    }

    @Test("A page of nothing but a row that devices cannot take brings no change, and no lag")
    func withoutRows() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                INSERT INTO s.prefs VALUES ('ann', 'a', 'x');
                UPDATE sync.change_log SET payload = json_build_object(
                    'code', 'a', 'value', repeat('x', \(WireLimits.largestRowBytes)));
                """)
            var request = PullChangesRequest()
            request.limit = 1000
            let page = try await database.read(request, user: "ann", device: "reader")
            #expect(page.leftOut == 1 && page.rows == 0 && page.nextAfter == 1)
            #expect(page.firstChange == nil)
            try await database.execute("INSERT INTO s.prefs VALUES ('ann', 'b', 'x')")
            let next = try await database.read(request, user: "ann", device: "reader")
            #expect(next.leftOut == 1 && next.rows == 1)
            #expect(next.firstChange != nil)
        }
    }

    @Test("Conflicts and refused rows count by table")
    func tables() async throws {
        try await SyncedDatabase.with(
            tables: "CREATE TABLE s.checked (id uuid PRIMARY KEY, owner text, n int CHECK (n > 0))",
            registered: "  - {table: s.checked, owner: owner}"
        ) { database in
            let registry = MetricsRegistry()
            let metrics = UploadMetrics(registry)
            func upload(_ changes: String...) async throws {
                let (batch, result) = try await database.executor.upload(
                    ByteBuffer(string: #"{"changes":[\#(changes.joined(separator: ","))]}"#),
                    from: CallerIdentity(user: "ann", device: "phone"),
                    deadline: .now + .seconds(30))
                metrics.count(result, of: batch, after: .zero)
            }
            try await upload(Self.insertion(1))
            try await upload(
                change(2, "UPDATE", "notes", id("101"), base: 7, #"{"title":"late"}"#),
                change(3, "INSERT", "checked", id("1"), #"{"n":-1}"#),
                change(4, "INSERT", "nowhere", id("2"), "{}"),
                change(5, "INSERT", "items", id("3"), #"{"note_id":"\#(id("777"))"}"#))
            let changes = "oversync_upload_changes_total"
            #expect(registry.value(changes + #"{outcome="applied"}"#) == 1)
            #expect(registry.value(changes + #"{outcome="conflict"}"#) == 1)
            #expect(registry.value(changes + #"{outcome="materialize_error"}"#) == 1)
            #expect(
                registry.value(changes + #"{outcome="invalid",reason="unregistered_table"}"#) == 1)
            #expect(registry.value(changes + #"{outcome="invalid",reason="fk_missing"}"#) == 1)
            #expect(registry.value(#"oversync_upload_conflicts_total{table="s.notes"}"#) == 1)
            #expect(
                registry.value(#"oversync_upload_materialize_errors_total{table="s.checked"}"#)
                    == 1)
            // A table that a device made up is no label.
            #expect(!registry.rendered().contains("nowhere"))
        }
    }

    @Test("A refused row is a second attempt, and a backlog until it is dealt with")
    func backlog() async throws {
        try await SyncedDatabase.with(
            tables: "CREATE TABLE s.checked (id uuid PRIMARY KEY, owner text, n int CHECK (n > 0))",
            registered: "  - {table: s.checked, owner: owner}"
        ) { database in
            let registry = MetricsRegistry()
            let executor = try UploadExecutor(
                pool: database.pool, source: database.source, limits: .init(),
                Configuration(environment: [:]), metrics: registry)
            let refused = change(1, "INSERT", "checked", id("1"), #"{"n":-1}"#)
            _ = try await executor.upload(
                ByteBuffer(string: #"{"changes":[\#(refused)]}"#),
                from: CallerIdentity(user: "ann", device: "phone"), deadline: .now + .seconds(30))
            #expect(
                registry.value(#"oversync_upload_second_attempts_total{cause="row"}"#) == 1)

            let gauges = SidecarGauges(pool: database.pool, logger: SyncedDatabase.logger)
            gauges.report(to: registry)
            #expect(registry.value("oversync_upload_materialize_backlog") == nil)
            try await database.execute(
                "UPDATE sync.materialize_failures SET first_seen = now() - interval '1 hour'")
            try await gauges.read()
            #expect(registry.value("oversync_upload_materialize_backlog") == 1)
            #expect(registry.value("oversync_upload_materialize_oldest_seconds") ?? 0 >= 3600)
            #expect(registry.value(#"oversync_sidecar_bytes{table="change_log"}"#) ?? 0 > 0)
            #expect(registry.value("oversync_database_bytes") ?? 0 > 1_048_576)
            // The owner's session, too, which is another role's.
            #expect(registry.value("oversync_database_connections") ?? 0 >= 2)
            // What stands still is not told.
            #expect(gauges.reading(now: .now + SidecarGauges.maximumAge + .seconds(1)) == nil)

            try await database.execute("UPDATE sync.materialize_failures SET resolved_at = now()")
            try await gauges.read()
            #expect(registry.value("oversync_upload_materialize_backlog") == 0)
            #expect(registry.value("oversync_upload_materialize_oldest_seconds") == 0)
        }
    }

    @Test("A failure whose row has got further is not in the backlog")
    func stale() async throws {
        try await SyncedDatabase.with(
            tables: "CREATE TABLE s.checked (id uuid PRIMARY KEY, owner text, n int CHECK (n > 0))",
            registered: "  - {table: s.checked, owner: owner}"
        ) { database in
            let gauges = SidecarGauges(pool: database.pool, logger: SyncedDatabase.logger)
            try await database.upload(
                "ann", change(1, "INSERT", "checked", id("1"), #"{"n":-1}"#))
            try await database.upload(
                "ann", change(2, "INSERT", "checked", id("1"), #"{"n":1}"#))
            try await gauges.read()
            #expect(gauges.reading()?.backlog.changes == 0)

            // More of them than are counted, and older: a new one is seen all the same.
            try await database.execute(
                """
                INSERT INTO sync.materialize_failures (scope_id, table_id, key, attempted_version,
                    op, payload, source_no, source_change_id, sqlstate, error, first_seen)
                SELECT scope_id, table_id, key, -number, op, payload, source_no, source_change_id,
                    sqlstate, error, now() - interval '1 day'
                FROM sync.materialize_failures, generate_series(1, 10001) AS number;
                ANALYZE sync.materialize_failures;
                """)
            try await database.upload(
                "ann", change(3, "INSERT", "checked", id("2"), #"{"n":-1}"#))
            try await gauges.read()
            #expect(gauges.reading()?.backlog.changes == 1)
            #expect(gauges.reading()?.backlog.oldestSeconds ?? .infinity < 3600)
        }
    }

    @Test("A replication slot counts as inactive while nothing receives through it")
    func slot() async throws {
        try await SyncedDatabase.with { database in
            let slot = try #require(
                try await database.value(
                    "SELECT 'slot_' || oid FROM pg_database WHERE datname = current_database()"))
            try await database.execute(
                "SELECT pg_create_physical_replication_slot('\(slot)', true)")
            let registry = MetricsRegistry()
            let gauges = SidecarGauges(pool: database.pool, logger: SyncedDatabase.logger)
            gauges.report(to: registry)
            let outcome: Result<Void, any Error>
            do { outcome = .success(try await gauges.read()) } catch { outcome = .failure(error) }
            try await database.execute("SELECT pg_drop_replication_slot('\(slot)')")
            try outcome.get()
            #expect(
                registry.value("oversync_database_slot_active{slot=\"\(slot)\"}") == 0)
            #expect(
                registry.value("oversync_database_slot_bytes{slot=\"\(slot)\"}") ?? -1 >= 0)
        }
    }
}

extension MetricsRegistry {
    /// The value of a series as it is written; nil if there is none.
    fileprivate func value(_ series: String) -> Double? {
        rendered().split(separator: "\n").first { $0.hasPrefix(series + " ") }
            .flatMap { Double($0.dropFirst(series.count + 1)) }
    }
}
