import DatabaseKit
import LocalPostgres
import Model
import NIOCore
import Postgres
import Protos
import RPC
import SwiftProtobuf
import Telemetry
import Testing
@testable import Sidecar
@testable import UploadService

@Suite("What policies are told of the user", .timeLimit(.minutes(10)))
struct PolicyClaimTests {
    /// What must come back as it is, and must not be anybody else.
    static let users = [
        "ann", "O'Hara", #"a","sub":"bob"#, #"a\","sub":"bob"#, #"{"sub":"bob"}"#, "a\\", "a\"",
        "'; DROP TABLE s.tasks; --", "$1", "%s %I", "\n\t\u{1}\u{7F}", "Ærøskøbing 🏝 \u{2028}",
        "null", "", " bob", "\u{FEFF}bob",
    ]

    @Test("The claims are those of the token, whatever characters they have", arguments: users)
    func exact(_ user: String) async throws {
        let claims = PolicyClaims(
            user: UserID(user), device: DeviceID(user), roles: [user, "a\"b", "it's"])
        try await SyncedDatabase.with { database in
            var bindings = Bindings()
            bindings.bind(claims.json)
            let parts = [
                "->> 'sub'", "->> 'did'", "-> 'roles' ->> 0", "-> 'roles' ->> 1", "->> 'role'",
            ]
            let items = parts.map { "$1::json \($0)" }.joined(separator: ", ")
            let result = try await database.sql.run(
                Command(
                    Statement(
                        name: "claims",
                        sql: "SELECT \(items), array(SELECT json_object_keys($1::json))::text",
                        parameters: [.text]), bindings))
            for (place, wanted) in [user, user, user, "a\"b", nil].enumerated() {
                #expect(try result.optionalString(0, place) == wanted)
            }
            #expect(try result.string(0, 5) == "{sub,roles,did}")
        }
        #expect(
            PolicyClaims(user: UserID("u"), device: DeviceID("d"), roles: ["r"]).json
                == #"{"sub":"u","role":"r","roles":["r"],"did":"d"}"#)
    }

    @Test("A user writes as itself and as nobody else, whatever its id and its payloads look like")
    func nobodyElse() async throws {
        try await Policies.with(Policies.ofOwner) { database in
            try await database.upload(
                "bob", Policies.task(1, "INSERT", "b0", #"{"title":"bob's"}"#))
            let users = Self.users.filter { !$0.isEmpty }
            for (n, user) in users.enumerated() {
                let payload =
                    #"{"title":"x","owner":"bob","request.jwt.claims":"{\"sub\":\"bob\"}"}"#
                let outcomes = try await database.outcomes(
                    user, Policies.task(1, "INSERT", "\(100 + n)", payload),
                    Policies.task(2, "UPDATE", "b0", base: 1, #"{"title":"y"}"#),
                    Policies.task(3, "DELETE", "b0", base: 1),
                    Policies.task(4, "INSERT", "b0", #"{"title":"z"}"#))
                #expect(outcomes.first == "applied 1", "\(user)")
                #expect(outcomes.dropFirst().allSatisfy { !$0.hasPrefix("applied ") }, "\(user)")
            }
            #expect(
                try await database.value("SELECT count(DISTINCT owner)::text FROM s.tasks")
                    == "\(users.count + 1)")
            #expect(
                try await database.value("SELECT title FROM s.tasks WHERE owner = 'bob'") == "bob's"
            )
        }
    }

    @Test("The claims end with the transaction, also behind a pooler, and for an upload that fails")
    func ended() async throws {
        try await Policies.with(Policies.ofOwner) { direct in
            try await direct.throughPgBouncer(.transaction) { _, database in
                for n in 1...20 {
                    let user = n % 2 == 0 ? "ann" : "bob"
                    let outcomes = try await database.outcomes(
                        user,
                        Policies.task(
                            n, "INSERT", "\(n)",
                            #"{"title":"x","hours":\#(n % 5 == 0 ? "\"no\"" : "1")}"#))
                    #expect(outcomes == [n % 5 == 0 ? "materialize_error 22P02" : "applied 1"])
                    try await Self.expectNoClaims(database)
                }
            }
            _ = try await direct.outcomes("ann", Policies.task(99, "INSERT", "99", "{}"))
            try await Self.expectNoClaims(direct)
            #expect(try await direct.verify().0 == [])
        }
    }

    private static func expectNoClaims(_ database: SyncedDatabase) async throws {
        let left = try await database.pool.withConnection {
            try await $0.rows(
                Command(
                    Statement(
                        name: "claims_left",
                        sql: "SELECT coalesce(current_setting('request.jwt.claims', true), '')")),
                of: String.self
            ).one()
        }
        #expect(left == "")
    }

    @Test("Two users at once: no upload is judged by the other's claims")
    func atOnce() async throws {
        try await Policies.with(Policies.ofOwner) { database in
            try await withThrowingTaskGroup(of: Void.self) { group in
                for user in ["ann", "bob", "carl", "dora"] {
                    group.addTask {
                        for n in 1...15 {
                            let key = String(user.utf8.first ?? 0, radix: 16) + "\(1000 + n)"
                            let outcomes = try await database.outcomes(
                                user, Policies.task(n, "INSERT", key, #"{"title":"x"}"#))
                            #expect(outcomes == ["applied 1"])
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A retry by an administrator is judged as the user and by the user's roles")
    func retried() async throws {
        let policies = """
            CREATE TABLE s.gate (open boolean);
            INSERT INTO s.gate VALUES (false);
            GRANT SELECT ON s.gate TO oversync_upload;
            CREATE POLICY p ON s.tasks USING (
                owner = s.claim('sub') AND s.has_role('editor') AND (SELECT open FROM s.gate));
            """
        try await Policies.with(policies) { database in
            let store = FailureStore(pool: database.pool)
            for (user, roles) in [("ann", ["editor", "other"]), ("bob", ["reader"])] {
                let key = user == "ann" ? "a1" : "b1"
                let lines = try await database.upload(
                    user, roles: roles, Policies.task(1, "INSERT", key, #"{"title":"x"}"#)
                ).outcomes.map(\.line)
                #expect(lines == [Policies.rejected])
            }
            let quiet = RPCClient(
                directory: "/nonexistent", service: "download", logger: SyncedDatabase.logger)
            let announcer = HeadAnnouncer(download: quiet, metrics: MetricsRegistry())
            let running = Task { try await announcer.run() }
            defer { running.cancel() }
            let retry = RetryFailure(
                store: store, executor: database.executor, announcer: announcer,
                administrators: Administrators(role: "admin"),
                metrics: UploadMetrics(MetricsRegistry()))
            let context = CallContext(
                requestID: "t", deadline: .now + .seconds(30),
                caller: CallerIdentity(user: "root", device: "console", roles: ["admin", "editor"]))
            func outcome(of user: String) async throws -> String {
                let number = try await database.value(
                    """
                    SELECT f.id::text FROM sync.materialize_failures f
                    JOIN sync.scope s USING (scope_id) WHERE s.user_id = '\(user)'
                    """)
                let id = try #require(number.flatMap(Int64.init))
                return String(buffer: try await retry(.with { $0.id = id }, context).body)
            }
            #expect(try await outcome(of: "ann").contains(#""status":"materialize_error""#))
            try await database.execute("UPDATE s.gate SET open = true")
            #expect(try await outcome(of: "bob").contains(#""status":"materialize_error""#))
            #expect(try await outcome(of: "ann").contains(#""status":"applied""#))
            #expect(try await database.value("SELECT owner FROM s.tasks") == "ann")
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("A database without such tables is told nothing of its users")
    func absent() async throws {
        try await SyncedDatabase.with { database in
            _ = try await database.outcomes("ann", change(1, "INSERT", "notes", id("a1"), "{}"))
            let names = try await database.pool.withConnection {
                try await $0.rows(
                    Command(
                        Statement(
                            name: "prepared",
                            sql: "SELECT split_part(name, '~', 1) FROM pg_prepared_statements")),
                    of: String.self
                ).all()
            }
            #expect(names.contains("upload_configure"))
            #expect(!names.contains("upload_configure_with_claims"))
            #expect(!names.contains { $0.hasPrefix("upload_rows_present") })
        }
    }
}
