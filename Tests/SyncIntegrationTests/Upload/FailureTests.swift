import DatabaseKit
import Foundation
import Model
import NIOCore
import Postgres
import Protos
import RPC
import SwiftProtobuf
import Telemetry
import Testing
@testable import UploadService

@Suite("Refused changes, listed and sent again by an administrator")
struct FailureTests {
    private static let tables = """
        CREATE TABLE s.checked (id uuid PRIMARY KEY, owner text, n int CHECK (n > 0));
        CREATE TABLE s.guarded (id uuid PRIMARY KEY, owner text, n int CHECK (n > 0), state text,
            cost int);
        CREATE TABLE s.counted (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, owner text,
            n int CHECK (n > 0));
        """
    private static let yaml = """
          - {table: s.checked, owner: owner, write: [checker]}
          - {table: s.guarded, owner: owner, except: [cost], read_only: {state: []}}
          - {table: s.counted, owner: owner}
        """

    private static func context() -> CallContext {
        CallContext(
            requestID: "t", deadline: .now + .seconds(30),
            caller: CallerIdentity(user: "root", device: "console", roles: ["admin"]))
    }

    private static func withFailures(
        _ body: (
            SyncedDatabase, () async throws -> [MaterializeFailure], (Int64) async throws -> String
        )
            async throws -> Void
    ) async throws {
        try await SyncedDatabase.with(tables: tables, registered: yaml) { database in
            let store = FailureStore(pool: database.pool)
            let quiet = RPCClient(
                directory: "/nonexistent", service: "download", logger: SyncedDatabase.logger)
            let announcer = HeadAnnouncer(download: quiet, metrics: MetricsRegistry())
            let running = Task { try await announcer.run() }
            defer { running.cancel() }
            let retry = RetryFailure(
                store: store, executor: database.executor, announcer: announcer,
                administrators: Administrators(role: "admin"),
                metrics: UploadMetrics(MetricsRegistry()))
            let list = ListFailures(store: store, administrators: Administrators(role: "admin"))
            try await body(
                database,
                {
                    try await list(.with { $0.limit = 100 }, context()).message.failures
                },
                { id in
                    String(buffer: try await retry(.with { $0.id = id }, context()).body)
                })
        }
    }

    private static func bad(_ number: Int, key: String) -> String {
        change(number, "INSERT", "checked", id(key), #"{"n":-1}"#)
    }

    @Test("S12: a refused change is listed with what is wrong, and applied once that is mended")
    func mended() async throws {
        try await Self.withFailures { database, list, retry in
            for number in [1, 2] {
                let result = try await database.upload(
                    "ann", roles: ["checker"], Self.bad(number, key: "\(number)"))
                #expect(result.outcomes.map(\.line) == ["materialize_error 23514"])
            }
            let failures = try await list()
            #expect(failures.map(\.sourceChangeID) == [2, 1])
            let first = try #require(failures.last)
            #expect(first.user == "ann" && first.device == "phone" && first.table == "checked")
            #expect(first.key == id("1") && first.operation == "INSERT")
            #expect(first.payload == #"{"n":-1}"# && first.sqlstate == "23514")
            #expect(first.attemptedVersion == 1 && first.retryCount == 0)
            #expect(first.firstSeen.hasSuffix("Z"))

            // Not corrected yet: still refused, and counted.
            #expect(try await retry(first.id).contains(#""status":"materialize_error""#))
            #expect(try await list().last?.retryCount == 1)

            try await database.execute("ALTER TABLE s.checked DROP CONSTRAINT checked_n_check")
            #expect(
                try await retry(first.id)
                    == #"{"source_change_id":0,"status":"applied","new_server_version":1}"# + "\n")
            #expect(try await list().map(\.sourceChangeID) == [2])
            #expect(try await database.feed("ann") == ["I checked 01 1"])
            // It has the device's own change id: sent by the device too, it is a repeat.
            let again = try await database.upload(
                "ann", roles: ["checker"], Self.bad(1, key: "1"))
            #expect(again.outcomes.map(\.line) == ["applied 1"] && again.duplicates == 1)
            let audit = try await database.value(
                """
                SELECT string_agg(concat_ws(' ', actor_kind, actor, action, target, outcome, code),
                    ', ' ORDER BY id)
                FROM sync.audit WHERE action LIKE '%.retry'
                """)
            let retry = "token root materialize-failure.retry \(first.id)"
            #expect(
                audit == "\(retry) begun, \(retry) refused materialize_error, "
                    + "\(retry) begun, \(retry) done applied")
            #expect(
                try await database.value(
                    """
                    SELECT concat_ws(' ', count(*), count(DISTINCT operation)) FROM sync.audit
                    WHERE action LIKE '%.retry'
                    """) == "4 2")
            // Who read the rows of users is recorded, too.
            #expect(
                try await database.value(
                    """
                    SELECT concat_ws(' ', count(*), min(actor), min(details->>'limit')) FROM sync.audit
                    WHERE action LIKE '%.list'
                    """) == "3 root 100")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "A refused change of a row with an integer key is listed by the number, and applied later")
    func numbers() async throws {
        try await Self.withFailures { database, list, retry in
            let result = try await database.upload(
                "ann", change(1, "INSERT", "counted", "-42", #"{"id":-42,"n":-1}"#))
            #expect(result.outcomes.map(\.line) == ["materialize_error 23514"])
            let failure = try #require(try await list().first)
            #expect(failure.key == "-42")
            try await database.execute("ALTER TABLE s.counted DROP CONSTRAINT counted_n_check")
            let answer = try await retry(failure.id)
            #expect(answer.contains(#""status":"applied","new_server_version":1"#))
            #expect(try await database.value("SELECT n FROM s.counted WHERE id = -42") == "-1")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "V2: a change of which its table took less than was sent is a repeat after its retry, too",
        arguments: [
            #"{"n":-1,"state":"mine"}"#, #"{"n":-1,"cost":5}"#,
            #"{"n":-1,"state":"mine","cost":5}"#, #"{"n":-1}"#,
        ])
    func reduced(payload: String) async throws {
        try await Self.withFailures { database, list, retry in
            let sent = change(1, "INSERT", "guarded", id("1"), payload)
            #expect(try await database.outcomes("ann", sent) == ["materialize_error 23514"])
            let failure = try #require(try await list().first)
            // What is recorded again at a retry is still known by what was sent.
            #expect(try await retry(failure.id).contains(#""status":"materialize_error""#))
            try await database.execute("ALTER TABLE s.guarded DROP CONSTRAINT guarded_n_check")
            #expect(try await retry(failure.id).contains(#""status":"applied""#))
            let again = try await database.upload("ann", sent)
            #expect(again.outcomes.map(\.line) == ["applied 1"] && again.duplicates == 1)
            #expect(try await database.feed("ann") == ["I guarded 01 1"])
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A failure that an older version has recorded is retried as it was kept")
    func withoutHash() async throws {
        try await Self.withFailures { database, list, retry in
            try await database.upload("ann", roles: ["checker"], Self.bad(1, key: "1"))
            let failure = try #require(try await list().first)
            try await database.execute(
                """
                UPDATE sync.materialize_failures SET content_hash = NULL;
                ALTER TABLE s.checked DROP CONSTRAINT checked_n_check
                """)
            #expect(try await retry(failure.id).contains(#""status":"applied""#))
            let again = try await database.upload(
                "ann", roles: ["checker"], Self.bad(1, key: "1"))
            #expect(again.outcomes.map(\.line) == ["applied 1"] && again.duplicates == 1)
        }
    }

    @Test("The list of failures with large payloads ends where an answer would be too large")
    func largeFailures() async throws {
        try await Self.withFailures { database, list, _ in
            let text = String(repeating: "x", count: 1_000_000)
            for number in 1...10 {
                try await database.upload(
                    "ann", roles: ["checker"],
                    change(
                        number, "INSERT", "checked", id("\(number)"), #"{"n":-1,"x":"\#(text)"}"#))
            }
            #expect(try await list().map(\.sourceChangeID) == (3...10).reversed())
        }
    }

    @Test("S12: a failure that a later version has overtaken is settled by itself")
    func overtaken() async throws {
        try await Self.withFailures { database, list, retry in
            try await database.upload("ann", roles: ["checker"], Self.bad(1, key: "1"))
            let failure = try #require(try await list().first)
            let good = try await database.upload(
                "ann", roles: ["checker"],
                change(2, "INSERT", "checked", id("1"), #"{"n":5}"#))
            #expect(good.outcomes.map(\.line) == ["applied 1"])
            #expect(try await list() == [])
            #expect(try await retry(failure.id).contains("failure was stale; removed"))
            #expect(try await database.value("SELECT n::text FROM s.checked") == "5")
            await #expect(throws: RPCFailure.self) { try await retry(failure.id) }
            await #expect(throws: RPCFailure.self) { try await retry(999_999) }
        }
    }

    @Test("While another session holds the failure, a retry is refused at once")
    func held() async throws {
        try await Self.withFailures { database, list, retry in
            try await database.upload("ann", roles: ["checker"], Self.bad(1, key: "1"))
            let failure = try #require(try await list().first)
            try await database.execute("ALTER TABLE s.checked DROP CONSTRAINT checked_n_check")
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            for lock in ["FOR UPDATE", "FOR NO KEY UPDATE", "FOR SHARE"] {
                try await other.execute(
                    script: """
                        BEGIN; SELECT FROM sync.materialize_failures WHERE id = \(failure.id)
                        \(lock)
                        """)
                // A wait would end with 503, after the statement's time.
                let error = await #expect(throws: RPCFailure.self) {
                    try await retry(failure.id)
                }
                #expect(error?.status == .conflict)
                #expect(error?.code == "retry_in_progress")
                try await other.execute(script: "ROLLBACK")
            }
            #expect(try await list().map(\.retryCount) == [0])
            let recorded = try await database.value(
                """
                SELECT concat_ws(' ', count(*), outcome, code) FROM sync.audit
                WHERE action LIKE '%.retry' GROUP BY outcome, code
                """)
            #expect(recorded == "3 refused retry_in_progress")
            #expect(try await retry(failure.id).contains(#""status":"applied""#))
        }
    }
}
