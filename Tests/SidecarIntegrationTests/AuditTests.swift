import Foundation
import Model
import Postgres
@testable import Sidecar
import Testing
import TestSupport
import WireJSON

@Suite("The audit")
struct AuditTests {
    private static func entry(
        _ action: AuditAction = .compact, of target: String = "t",
        by origin: AuditOrigin = .session(on: "ops@box")
    ) -> AuditEntry {
        AuditEntry(action, of: target, by: origin)
    }

    private static func append(_ entry: AuditEntry, _ connection: PostgresConnection) async throws {
        try await connection.run(AuditStatements.Append(entry))
    }

    @Test("A row tells who, from where, what and what came of it; the session's role is its own")
    func row() async throws {
        try await RoleFixture.with { database in
            try await database.install()
            let origin = AuditOrigin.token("ann", issuer: "https://id", from: "192.0.2.7")
            try await database.sql(database.name(.upload)) { connection in
                try await Self.append(
                    AuditEntry(
                        .retryFailure, of: "7", by: origin, .refused, code: "conflict",
                        details: ["n": 1]), connection)
                try await Self.append(Self.entry(), connection)
            }
            let (rows, hasMore) = try await database.sql {
                try await AuditLog(connection: $0).read(AuditQuery())
            }
            #expect(!hasMore)
            let upload = database.name(.upload)
            let first = try #require(rows.first)
            #expect(first.actor == "ann" && first.actorKind == "token")
            #expect(first.issuer == "https://id" && first.host == "192.0.2.7")
            #expect(first.action == "materialize-failure.retry" && first.target == "7")
            #expect(first.outcome == "refused" && first.code == "conflict")
            #expect(first.databaseRole == upload && first.at.hasSuffix("Z"))
            #expect(first.document.text.contains(#""details":{"n":1}"#))
            let last = try #require(rows.last)
            #expect(last.actor == upload && last.actorKind == "role" && last.host == "ops@box")
            #expect(last.issuer == nil && last.code == nil && last.details == nil)
        }
    }

    @Test("A service chooses neither the number nor the time nor the role of its rows")
    func stamped() async throws {
        try await RoleFixture.with { database in
            try await database.install()
            let forged = """
                INSERT INTO sync.audit (id, at, actor, action, target, outcome, database_role)
                OVERRIDING SYSTEM VALUE VALUES (1000, '2001-01-01', 'a', 'b', 'c', 'done', 'boss')
                """
            try await database.sql(database.name(.upload)) { connection in
                try await connection.execute(script: forged)
                try await connection.execute(script: forged)
            }
            let rows = try await database.sql {
                try await AuditLog(connection: $0).read(AuditQuery())
            }.rows.filter { $0.action == "b" }
            #expect(rows.count == 2)
            for row in rows {
                #expect(row.id < 1000 && !row.at.hasPrefix("2001"))
                #expect(row.databaseRole == database.name(.upload))
            }
        }
    }

    @Test("What is too long is cut to its bounds, and NUL is replaced: nothing keeps a row out")
    func bounds() async throws {
        try await RoleFixture.with { database in
            let long = String(repeating: "ä", count: 5000) + "\0"
            let origin = AuditOrigin.token(long, issuer: long, from: long)
            try await database.sql { connection in
                try await Self.append(
                    AuditEntry(
                        .adopt, of: "a\0b" + long, by: origin, code: long,
                        details: ["text": .string(long)]), connection)
                let row = try #require(
                    try await AuditLog(connection: connection).read(AuditQuery()).rows.first)
                for name in [row.actor, row.issuer ?? "", row.host ?? ""] {
                    #expect(name.utf8.count <= AuditEntry.maximumNameBytes)
                    #expect(name.hasPrefix("ää") && name.hasSuffix("ä…"))
                }
                #expect(row.target.utf8.count <= AuditEntry.maximumTargetBytes)
                #expect(row.target.hasPrefix("a\u{FFFD}bä"))
                #expect((row.code ?? long).utf8.count <= AuditEntry.maximumCodeBytes)
                #expect(row.details == #"{"left_out_bytes":10017}"#)
            }
        }
    }

    @Test("An action of several transactions runs between two rows, also if it fails")
    func operations() async throws {
        try await RoleFixture.with { database in
            let trail = AuditTrail(.session(on: nil))
            try await database.sql { connection in
                let value = try await trail.record(
                    .adopt, of: "app.notes", ["asked": true], on: connection
                ) {
                    let rows = try await AuditLog(connection: connection).read(AuditQuery()).rows
                    #expect(rows.map(\.outcome) == ["begun"])
                    return .init(7, ["rows": 7])
                }
                #expect(value == 7)
                await #expect(throws: PostgresError.self) {
                    try await trail.record(.compact, of: "all", on: connection) {
                        try await connection.execute(script: "SELECT 1 / 0")
                        return .init(())
                    }
                }
                let rows = try await AuditLog(connection: connection).read(AuditQuery()).rows
                #expect(rows.map(\.outcome) == ["begun", "done", "begun", "failed"])
                #expect(rows.map { $0.code ?? "" } == ["", "", "", "22012"])
                #expect(
                    rows.map { $0.details ?? "" }
                        == [#"{"asked":true}"#, #"{"rows":7}"#, "", ""])
                #expect(rows[0].operation != nil && rows[0].operation == rows[1].operation)
                #expect(rows[2].operation == rows[3].operation)
                #expect(rows[0].operation != rows[2].operation)
            }
        }
    }

    @Test("An action of one transaction that fails leaves a row, too")
    func failedTransaction() async throws {
        try await RoleFixture.with { database in
            try await database.install()
            let trail = AuditTrail(.session(on: "ops@box"))
            try await database.sql(database.name(.maintenance)) { connection in
                let error = await #expect(throws: PostgresError.self) {
                    try await trail.recordingFailure(
                        of: .newEpoch, to: "a new epoch", on: connection
                    ) {
                        try await Epoch.begin(on: connection, because: "", by: trail.origin)
                    }
                }
                #expect(error?.sqlState == .insufficientPrivilege)
            }
            #expect(
                try await database.rows(
                    "SELECT actor, host, action, target, outcome, code FROM sync.audit")
                    == [
                        "\(database.name(.maintenance)) ops@box epoch.new a new epoch failed 42501"
                    ])
        }
    }

    @Test("Who asks a service by oversync is its machine's user; an address is none")
    func terminals() {
        #expect(AuditOrigin.terminal("ann@ops@box")?.actor == "ann@ops")
        #expect(AuditOrigin.terminal("ann@box")?.kind == .terminal)
        #expect(AuditOrigin.terminal("ann@box")?.host == "ann@box")
        for address in ["127.0.0.1", "2001:db8::", "unknown", "@box", ""] {
            #expect(AuditOrigin.terminal(address) == nil)
        }
    }

    @Test("Without its first row an action does not begin")
    func withoutRight() async throws {
        try await RoleFixture.with { database in
            try await database.install()
            try await database.sql(database.name(.download)) { connection in
                let error = await #expect(throws: PostgresError.self) {
                    try await AuditTrail(.session(on: nil)).record(
                        .compact, of: "all", on: connection
                    ) {
                        Issue.record("it has begun")
                        return .init(())
                    }
                }
                #expect(error?.sqlState == .insufficientPrivilege)
            }
        }
    }

    @Test("Rows are read newest last, by age, time and action, a bounded number at a time")
    func reading() async throws {
        try await RoleFixture.with { database in
            try await database.sql { connection in
                for number in 1...7 {
                    let action = number % 2 == 0 ? AuditAction.adopt : .compact
                    try await Self.append(Self.entry(action, of: "\(number)"), connection)
                }
                try await connection.execute(
                    script: "UPDATE sync.audit SET at = now() - interval '2 days' WHERE id <= 3")
                let log = AuditLog(connection: connection)
                func targets(_ change: (inout AuditQuery) -> Void) async throws -> [String] {
                    var query = AuditQuery()
                    change(&query)
                    return try await log.read(query).rows.map(\.target)
                }
                #expect(try await targets { $0.age = 86_400 } == ["4", "5", "6", "7"])
                #expect(try await targets { $0.since = "2100-01-01" } == [])
                #expect(try await targets { $0.since = "2020-01-01T00:00:00Z" }.count == 7)
                #expect(try await targets { $0.action = "adopt" } == ["2", "4", "6"])
                // Page by page.
                var query = AuditQuery()
                query.limit = 3
                var pages: [[String]] = []
                while true {
                    let (rows, hasMore) = try await log.read(query)
                    pages.append(rows.map(\.target))
                    guard hasMore, let first = rows.first else { break }
                    query.before = first.id
                }
                #expect(pages == [["5", "6", "7"], ["2", "3", "4"], ["1"]])
            }
        }
    }

    @Test("Pruning removes what is older than the retention, as the role that prunes")
    func pruning() async throws {
        try await RoleFixture.with { database in
            try await database.install()
            try await database.execute(
                """
                INSERT INTO sync.audit (at, actor, action, target, outcome)
                SELECT now() - interval '401 days', 'a', 'x', n::text, 'done'
                FROM generate_series(1, \(AuditLog.batchRows + 3)) AS n;
                INSERT INTO sync.audit (at, actor, action, target, outcome)
                VALUES (now() - interval '399 days', 'a', 'x', 'young', 'done');
                """)
            let removed = try await database.sql(database.name(.maintenance)) {
                try await AuditLog(connection: $0).prune(olderThan: 400 * 86_400)
            }
            #expect(removed == AuditLog.batchRows + 3)
            #expect(try await database.rows("SELECT target FROM sync.audit") == ["young"])
        }
    }

    @Test("What the previous version's Upload writes is kept, and read like the rest")
    func previousVersion() async throws {
        try await RoleFixture.with { database in
            try await database.install()
            try await database.execute(
                """
                INSERT INTO sync.audit (actor, action, target, outcome)
                VALUES ('root', 'materialize-failure.retry', '3', 'applied')
                """, as: database.name(.upload))
            let row = try await database.sql {
                try await AuditLog(connection: $0).read(AuditQuery()).rows.first
            }
            #expect(row?.outcome == "applied" && row?.actorKind == nil)
            #expect(row?.databaseRole == database.name(.upload))
        }
    }

    @Test("Auth adds rows by its view, which leaves it neither the time nor the role to choose")
    func auth() async throws {
        try await RoleFixture.with { database in
            try await database.install()
            try await database.sql(database.name(.auth)) { connection in
                let entry = AuditEntry(
                    .rotateKeys, of: "kid", by: .service("oversync-auth", on: "box"))
                try await connection.run(AuditStatements.AppendOfAuth(entry))
            }
            #expect(
                try await database.rows(
                    """
                    SELECT actor, action, database_role FROM sync.audit
                    WHERE at > now() - interval '1 hour'
                    """
                ) == ["oversync-auth key.rotate \(database.name(.auth))"])
            for column in ["id", "at", "database_role"] {
                #expect(
                    try await database.refusal(
                        of: "INSERT INTO oversync_auth.audit (\(column)) VALUES (NULL)", as: .auth)
                        == "42703")
            }
            for script in [
                "SELECT FROM oversync_auth.audit", "DELETE FROM oversync_auth.audit",
                "UPDATE oversync_auth.audit SET actor = 'x'",
            ] {
                #expect(try await database.refusal(of: script, as: .auth) == "42501", "\(script)")
            }
        }
    }
}

@Suite("The settings that services start with")
struct ConfigurationRecordTests {
    private static func record(
        _ database: RoleFixture, _ settings: String, as purpose: ServiceRole = .upload
    ) async throws -> Bool {
        try await database.sql(database.name(purpose)) { connection in
            guard purpose == .auth else {
                return try await connection.run(
                    AuditStatements.RecordConfiguration(
                        service: "oversync-upload", host: "box", settings: settings)
                ).one()
            }
            return try await connection.run(
                AuditStatements.RecordConfigurationOfAuth(host: "box", settings: settings)
            ).one()
        }
    }

    @Test(
        "Only a difference is recorded, with what it was and what it is",
        arguments: [
            ServiceRole.upload, .auth,
        ])
    func differences(_ purpose: ServiceRole) async throws {
        try await RoleFixture.with { database in
            try await database.install()
            let steps = [
                (#"{"version":"1","A":"x"}"#, true), (#"{"A":"x","version":"1"}"#, false),
                (#"{"version":"2","A":"x","B":"y"}"#, true), (#"{"version":"2","B":"y"}"#, true),
            ]
            for (settings, isNew) in steps {
                #expect(try await Self.record(database, settings, as: purpose) == isNew)
            }
            let service = "oversync-\(purpose.rawValue)"
            #expect(
                try await database.rows(
                    "SELECT actor, host, target, code, details FROM sync.audit ORDER BY id")
                    == [
                        """
                        \(service) box \(service) first { "A" : {"from" : null, "to" : "x"}, \
                        "version" : {"from" : null, "to" : "1"} }
                        """,
                        """
                        \(service) box \(service) changed { "B" : {"from" : null, "to" : "y"}, \
                        "version" : {"from" : "1", "to" : "2"} }
                        """,
                        """
                        \(service) box \(service) changed { "A" : {"from" : "x", "to" : null} }
                        """,
                    ])
        }
    }

    // replica 1 .. 8   record {"A":"2"} at once, after {"A":"1"}
    @Test("Of replicas that start at once one tells of the change")
    func atOnce() async throws {
        try await RoleFixture.with { database in
            try await database.install()
            #expect(try await Self.record(database, #"{"A":"1"}"#))
            let told = try await withThrowingTaskGroup(of: Bool.self) { group in
                for _ in 0..<8 {
                    group.addTask { try await Self.record(database, #"{"A":"2"}"#) }
                }
                return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
            }
            #expect(told == 1)
            #expect(
                try await database.rows("SELECT count(*) FROM sync.audit WHERE code = 'changed'")
                    == ["1"])
        }
    }

    @Test("No role but Upload's and Auth's may call it, and none reads or writes the settings")
    func rights() async throws {
        try await RoleFixture.with { database in
            try await database.install()
            let call = "SELECT sync.record_configuration('x', 'y', '{}')"
            for purpose in [ServiceRole.download, .auth, .maintenance] {
                #expect(try await database.refusal(of: call, as: purpose) == "42501")
            }
            for purpose in ServiceRole.allCases {
                for script in [
                    "SELECT FROM sync.service_configuration",
                    "DELETE FROM sync.service_configuration",
                ] {
                    #expect(try await database.refusal(of: script, as: purpose) == "42501")
                }
            }
        }
    }
}
