import Model
import NIOCore
import RPC
import ServiceKit
import Testing
@testable import UploadService

@Suite("The largest batch on tables that are slow and full of foreign keys", .serialized)
struct LargestBatchTests {
    private static let tableCount = 8
    /// What the team's trigger takes for each row, in seconds.
    private static let slowness = 0.001

    /// Each table points at itself, at a list of the team's, and at the tables before it.
    private static var tables: String {
        let tables = (0..<tableCount).map { n in
            let parents = (max(0, n - 2)..<n).map { ", p\($0) uuid NOT NULL REFERENCES s.t\($0)" }
            let kinds = n < 2 ? ", kind2 int NOT NULL REFERENCES s.kinds" : ""
            return """
                CREATE TABLE s.t\(n) (id uuid PRIMARY KEY, owner text, up uuid REFERENCES s.t\(n),
                    kind int NOT NULL REFERENCES s.kinds\(kinds)\(parents.joined()));
                CREATE TRIGGER slow BEFORE INSERT ON s.t\(n) FOR EACH ROW EXECUTE FUNCTION s.slow();
                """
        }
        return """
            CREATE TABLE s.kinds (id int PRIMARY KEY);
            INSERT INTO s.kinds SELECT generate_series(0, 9);
            -- Counts attempts too: what it gave out does not come back with a rollback.
            CREATE SEQUENCE s.calls;
            CREATE TABLE s.measured (began timestamptz, statement_began timestamptz, at timestamptz,
                statement_timeout interval, lock_timeout interval, idle_timeout interval);
            CREATE FUNCTION s.slow() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
            BEGIN
                PERFORM pg_sleep(\(slowness)), nextval('s.calls');
                INSERT INTO s.measured VALUES (transaction_timestamp(), statement_timestamp(), clock_timestamp(),
                    current_setting('statement_timeout')::interval, current_setting('lock_timeout')::interval,
                    current_setting('idle_in_transaction_session_timeout')::interval);
                RETURN NEW;
            END $$;
            \(tables.joined(separator: "\n"))
            """
    }

    private static var yaml: String {
        (0..<tableCount).map { "  - {table: s.t\($0), owner: owner}" }.joined(separator: "\n")
    }

    private static func key(_ prefix: Int, _ table: Int, _ n: Int) -> String {
        id(String(prefix * 1_000_000 + table * 10_000 + n))
    }

    /// As many changes as an upload may have, children first, so that all of them have to be put in order.
    private static func batch(_ prefix: Int) -> String {
        let perTable = WireLimits().changesPerUpload / tableCount
        var changes: [String] = []
        for table in (0..<tableCount).reversed() {
            for n in (0..<perTable).reversed() {
                var members = [#""kind":\#(n % 10)"#]
                if n > 0 { members.append(#""up":"\#(key(prefix, table, n - 1))""#) }
                if table < 2 { members.append(#""kind2":\#(n % 7)"#) }
                for parent in max(0, table - 2)..<table {
                    members.append(#""p\#(parent)":"\#(key(prefix, parent, (n * 7) % perTable))""#)
                }
                changes.append(
                    change(
                        changes.count + 1, "INSERT", "t\(table)", key(prefix, table, n),
                        "{\(members.joined(separator: ","))}"))
            }
        }
        return changes.joined(separator: ",")
    }

    @Test(
        "Two users at once: all is applied at the first attempt, each wait well within the default timeouts"
    )
    func largest() async throws {
        try await SyncedDatabase.with(tables: Self.tables, registered: Self.yaml) { database in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (prefix, user) in [(1, "ann"), (2, "bob")] {
                    group.addTask {
                        let outcomes = try await database.outcomes(user, Self.batch(prefix))
                        #expect(outcomes.count == WireLimits().changesPerUpload)
                        #expect(outcomes.allSatisfy { $0 == "applied 1" })
                    }
                }
                try await group.waitForAll()
            }
            func measured(_ condition: String) async throws -> String? {
                try await database.value("SELECT (\(condition))::text FROM s.measured")
            }
            let defaults = try UploadTimeouts(Configuration(environment: [:]))
            #expect(try await measured("count(*)") == "\(2 * WireLimits().changesPerUpload)")
            #expect(try await measured("count(*) = (SELECT last_value FROM s.calls)") == "true")
            for (setting, milliseconds) in [
                ("statement_timeout", defaults.statement), ("lock_timeout", defaults.businessLock),
                ("idle_timeout", defaults.idle),
            ] {
                let isDefault = "bool_and(\(setting) = '\(milliseconds)ms')"
                #expect(try await measured(isDefault) == "true", "\(setting)")
            }
            // Half of what is allowed, by the server's own clock: the slowest statement, and the pause for the
            // decision with the reading before it.
            #expect(
                try await measured("bool_and(at - statement_began < statement_timeout / 2)")
                    == "true")
            #expect(
                try await database.value(
                    """
                    SELECT bool_and(pause < idle_timeout / 2)::text FROM (
                        SELECT min(statement_began) - began AS pause, min(idle_timeout) AS idle_timeout
                        FROM s.measured GROUP BY began) AS uploads
                    """) == "true")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test(
        "Conflicts with more rows than an answer can carry: those that do not fit are asked for in smaller batches"
    )
    func largestConflicts() async throws {
        try await SyncedDatabase.with { database in
            let text = String(repeating: "x", count: 1_000_000)
            for n in 0..<20 {
                try await database.upload(
                    "ann", change(n + 1, "INSERT", "prefs", "k\(n)", #"{"value":"\#(text)"}"#))
            }
            let edits = (0..<20).map { change($0 + 1, "INSERT", "prefs", "k\($0)", "{}") }
            let own = change(21, "INSERT", "prefs", "own", "{}")
            let (batch, result) = try await database.executor.upload(
                ByteBuffer(string: #"{"changes":[\#((edits + [own]).joined(separator: ","))]}"#),
                from: CallerIdentity(user: "ann", device: "tablet"), deadline: .now + .seconds(30))
            let answer = UploadAnswer(result: result, changeIDs: batch.changeIDs)
            #expect(answer.encoded().readableBytes < RPCLimits().maximumFrameBytes)
            #expect(!answer.isAccepted)
            let statuses = result.outcomes.map(\.status)
            #expect(statuses.filter { $0 == "conflict" }.count == 8)
            #expect(statuses.last == "applied")
            for outcome in result.outcomes where outcome.status == "invalid" {
                #expect(outcome.line == "invalid batch_too_large")
            }
            #expect(
                try await database.outcomes("ann", device: "tablet", edits[19])[0].hasPrefix(
                    "conflict 1"))
        }
    }
}
