import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Two sides edit one row. Each case is met twice: when the edit is sent, and when the server's row arrives.
@Suite struct ConflictTests {
    static let base = #"{"id":"\#(key(1))","name":"a","age":1}"#

    /// A device with a synced row, edited here by `local` and on the server to `server`.
    static func device(
        _ policy: ConflictPolicy, local: String, server: String?
    ) async throws -> Device {
        let device = try Device { $0.conflictPolicy = policy }
        device.gateway.write("users", key(1), base)
        try await device.sync()
        try device.execute(local)
        device.gateway.write("users", key(1), server)
        return device
    }

    static func row(_ name: String, _ age: Int) -> String {
        #"{"id":"\#(key(1))","name":"\#(name)","age":\#(age)}"#
    }

    /// Meets the conflict on the way out or on the way in, and sends what comes of it.
    static func meet(_ device: Device, sendsFirst: Bool) async throws {
        if sendsFirst { try await device.engine.sendChanges() }
        try await device.sync()
        #expect(try device.queue().isEmpty)
    }

    static let rename = "UPDATE users SET name = 'local'"

    @Test("columns edited on either side are all kept", arguments: [true, false])
    func merge(sendsFirst: Bool) async throws {
        let device = try await Self.device(
            .fieldwise(), local: Self.rename, server: Self.row("a", 9))
        let events = device.engine.events
        try await Self.meet(device, sendsFirst: sendsFirst)
        #expect(try device.lines("SELECT name, age FROM users") == ["local|9"])
        #expect(device.gateway.rows("users")[key(1)] == Self.row("local", 9))
        guard case .conflict(let report)? = await firstEvent(events, unless: device) else {
            Issue.record("the merge was not reported")
            return
        }
        // The age was never this device's edit.
        #expect(report.lost == [:])
    }

    @Test(
        "a column edited on both sides goes to the side the policy names",
        arguments: [true, false],
        [
            (ConflictSide.client, "local"), (.server, "server"),
        ])
    func clash(sendsFirst: Bool, expected: (side: ConflictSide, name: String)) async throws {
        let device = try await Self.device(
            .fieldwise(clash: expected.side), local: "UPDATE users SET name = 'local', age = 5",
            server: Self.row("server", 1))
        let events = device.engine.events
        try await Self.meet(device, sendsFirst: sendsFirst)
        #expect(try device.lines("SELECT name, age FROM users") == ["\(expected.name)|5"])
        #expect(device.gateway.rows("users")[key(1)] == Self.row(expected.name, 5))
        guard case .conflict(let report)? = await firstEvent(events, unless: device) else {
            Issue.record("the conflict was not reported")
            return
        }
        #expect(report.columns == ["name"])
        #expect(report.outcome == .merged)
        #expect(report.lost == (expected.side == .server ? ["name": "local".databaseValue] : [:]))
    }

    @Test("server wins and client wins do as they say", arguments: [true, false], [true, false])
    func whole(sendsFirst: Bool, serverWins: Bool) async throws {
        let device = try await Self.device(
            serverWins ? .serverWins : .clientWins, local: Self.rename,
            server: Self.row("server", 9))
        try await Self.meet(device, sendsFirst: sendsFirst)
        let expected = serverWins ? ["server|9"] : ["local|1"]
        #expect(try device.lines("SELECT name, age FROM users") == expected)
        #expect(
            device.gateway.rows("users")[key(1)]
                == (serverWins ? Self.row("server", 9) : Self.row("local", 1)))
    }

    @Test(
        "C9: a row edited here and deleted on the server", arguments: [true, false],
        [
            (DeletionRule.editWins, 1), (.deletionWins, 0),
        ])
    func serverDeleted(sendsFirst: Bool, expected: (rule: DeletionRule, rows: Int)) async throws {
        let device = try await Self.device(
            .fieldwise(deletion: expected.rule), local: Self.rename, server: nil)
        try await Self.meet(device, sendsFirst: sendsFirst)
        #expect(try device.count("SELECT count(*) FROM users") == expected.rows)
        #expect(device.gateway.rows("users").count == expected.rows)
    }

    @Test(
        "C9: a row deleted here and edited on the server", arguments: [true, false],
        [
            (DeletionRule.editWins, 1), (.deletionWins, 0),
        ])
    func localDeleted(sendsFirst: Bool, expected: (rule: DeletionRule, rows: Int)) async throws {
        let device = try await Self.device(
            .fieldwise(deletion: expected.rule), local: "DELETE FROM users",
            server: Self.row("server", 9))
        try await Self.meet(device, sendsFirst: sendsFirst)
        #expect(try device.count("SELECT count(*) FROM users") == expected.rows)
        #expect(device.gateway.rows("users").count == expected.rows)
    }

    @Test("a row deleted on both sides is no conflict", arguments: [true, false])
    func bothDeleted(sendsFirst: Bool) async throws {
        let device = try await Self.device(.fieldwise(), local: "DELETE FROM users", server: nil)
        let events = device.engine.events
        try await Self.meet(device, sendsFirst: sendsFirst)
        #expect(await firstEvent(events, unless: device) == nil)
    }

    @Test("one key inserted on two devices is merged", arguments: [true, false])
    func bothInserted(sendsFirst: Bool) async throws {
        let device = try Device()
        try await device.sync()
        try device.execute("INSERT INTO users (id, name) VALUES ('\(key(1))', 'local')")
        device.gateway.write("users", key(1), Self.row("server", 9))
        try await Self.meet(device, sendsFirst: sendsFirst)
        #expect(try device.lines("SELECT name FROM users") == ["local"])
        #expect(device.gateway.rows("users")[key(1)]?.contains(#""name":"local""#) == true)
    }

    @Test("the app's resolver sees all three rows and decides", arguments: [true, false])
    func resolver(sendsFirst: Bool) async throws {
        let device = try await Self.device(
            .resolver { conflict in
                let names = [conflict.base, conflict.server, conflict.local].map {
                    $0?["name"] ?? .null
                }
                let joined = names.compactMap(String.fromDatabaseValue).joined(separator: "+")
                return .merged(["name": joined.databaseValue])
            }, local: Self.rename, server: Self.row("server", 9))
        try await Self.meet(device, sendsFirst: sendsFirst)
        #expect(try device.lines("SELECT name, age FROM users") == ["a+server+local|9"])
        #expect(device.gateway.rows("users")[key(1)] == Self.row("a+server+local", 9))
    }

    private struct User: Codable, FetchableRecord, PersistableRecord {
        static let databaseTableName = "users"
        var id: String
        var name: String
        // The record does not have the column `age`.
    }

    @Test("a resolver sees the app's own records, and may settle a column by itself")
    func records() async throws {
        let device = try await Self.device(
            .resolver(User.self) { conflict in
                guard let base = conflict.base, let local = conflict.local,
                    let server = conflict.server, var merged = try conflict.merged()
                else { return .fieldwise() }
                merged.name = "\(base.name)+\(local.name)+\(server.name)"
                return try .row(merged)
            }, local: Self.rename, server: Self.row("server", 9))
        try await Self.meet(device, sendsFirst: false)
        #expect(try device.lines("SELECT name, age FROM users") == ["a+local+server|9"])
    }

    @Test("a resolver is asked about equal edits, too, and what it adds up is no loss")
    func equalEdits() async throws {
        let gateway = InMemoryGateway()
        func device(_ name: String) throws -> Device {
            try Device(name, gateway) {
                $0.conflictPolicy = .resolver { conflict in
                    let ages = [conflict.base, conflict.local, conflict.server].map {
                        $0?["age"].flatMap(Int.fromDatabaseValue) ?? 0
                    }
                    return .merged(["age": (ages[1] + ages[2] - ages[0]).databaseValue])
                }
            }
        }
        gateway.write("users", key(1), Self.row("a", 10))
        let devices = [try device("one"), try device("two")]
        for device in devices { try await device.sync() }
        for device in devices { try device.execute("UPDATE users SET age = age + 1") }
        for _ in 0..<2 { for device in devices { try await device.sync() } }
        #expect(gateway.rows("users")[key(1)] == Self.row("a", 12))
        for device in devices {
            #expect(try device.lines("SELECT age FROM users") == ["12"])
            #expect(try await device.engine.settledConflicts.isEmpty)
        }
    }

    @Test("a resolver may leave the columns to the policy, or begin with what it makes of them")
    func fieldwiseResolution() async throws {
        let policies: [ConflictPolicy] = [
            .resolver { _ in .fieldwise(clash: .server) },
            .resolver { conflict in conflict.merged(clash: .server).map { .merged($0) } ?? .client
            },
        ]
        for policy in policies {
            let device = try await Self.device(
                policy, local: "UPDATE users SET name = 'local', age = 5",
                server: Self.row("server", 1))
            try await Self.meet(device, sendsFirst: true)
            #expect(try device.lines("SELECT name, age FROM users") == ["server|5"])
            let deleted = try await Self.device(policy, local: Self.rename, server: nil)
            try await Self.meet(deleted, sendsFirst: true)
            #expect(try deleted.lines("SELECT name FROM users") == ["local"])
        }
    }

    @Test("a resolver that names a column which is not there is told so")
    func unknownColumn() async throws {
        let device = try await Self.device(
            .resolver { _ in .merged(["nmae": "x".databaseValue]) }, local: Self.rename,
            server: Self.row("server", 9))
        try await device.sync()
        let rejected = try await device.engine.rejectedChanges.first
        #expect(rejected?.reason == "resolver_failed")
        #expect(rejected?.message?.contains("nmae") == true)
    }

    @Test("the server's victory reports what was edited here, and nothing else")
    func serverWinsReport() async throws {
        let device = try await Self.device(
            .serverWins, local: Self.rename, server: Self.row("server", 9))
        let events = device.engine.events
        try await Self.meet(device, sendsFirst: false)
        guard case .conflict(let report)? = await firstEvent(events, unless: device) else {
            Issue.record("the conflict was not reported")
            return
        }
        #expect(report.columns == ["name"])
        #expect(report.lost == ["name": "local".databaseValue])
    }

    @Test("what was given up is kept until the app has seen it, also beyond the process")
    func keptReports() async throws {
        let device = try await Self.device(
            .serverWins, local: "UPDATE users SET name = 'local', age = NULL",
            server: Self.row("server", 9))
        try await Self.meet(device, sendsFirst: true)
        try device.reopen()
        let kept = try await device.engine.settledConflicts
        #expect(
            kept == [
                ConflictReport(
                    table: "users", key: key(1), outcome: .tookServer, columns: ["age", "name"],
                    lost: ["name": "local".databaseValue, "age": .null])
            ])
        let report = try #require(kept.first)
        try await device.engine.dismiss(report)
        #expect(try await device.engine.settledConflicts.isEmpty)
    }

    @Test("a conflict in which nothing was lost is not kept, and a sign-out leaves none")
    func unkeptReports() async throws {
        let merged = try await Self.device(
            .fieldwise(), local: Self.rename, server: Self.row("a", 9))
        try await Self.meet(merged, sendsFirst: true)
        #expect(try await merged.engine.settledConflicts.isEmpty)
        let overruled = try await Self.device(
            .serverWins, local: Self.rename, server: Self.row("server", 9))
        try await Self.meet(overruled, sendsFirst: true)
        #expect(try await overruled.engine.settledConflicts.count == 1)
        try await overruled.engine.signOut()
        #expect(try await overruled.engine.settledConflicts.isEmpty)
    }

    @Test("of the reports kept the oldest go")
    func boundedReports() async throws {
        let queue = try DatabaseQueue()
        let kept = try await queue.write { db in
            try MetadataTables.create(in: db)
            let reports = (1...ConflictBook.limit + 5).map { number in
                ConflictReport(
                    table: "users", key: key(number), outcome: .merged, columns: [],
                    lost: ["age": number.databaseValue])
            }
            for report in reports { try ConflictBook(db: db).record([report]) }
            return try ConflictBook(db: db).all()
        }
        #expect(kept.count == ConflictBook.limit)
        #expect(kept.first?.key == key(6))
    }

    @Test("C16: a resolver that throws holds back its row alone, and an edit frees it")
    func resolverThrows() async throws {
        struct Refusal: Error {}
        let device = try await Self.device(
            .resolver { _ in throw Refusal() }, local: Self.rename, server: Self.row("server", 9))
        try device.execute("INSERT INTO users (id) VALUES ('\(key(2))')")
        try await device.engine.sendChanges()
        #expect(device.gateway.rows("users").count == 2)
        #expect(try await device.engine.rejectedChanges.map(\.reason) == ["resolver_failed"])
        #expect(try device.text("SELECT name FROM users WHERE id = '\(key(1))'") == "local")
        let row = try #require(try await device.engine.rejectedChanges.first)
        try await device.engine.discard(row)
        #expect(try device.queue().isEmpty)
    }

    @Test("C10: conflicts are settled on a database with a single connection")
    func singleConnection() async throws {
        let queue = try DatabaseQueue()
        try await queue.write { try $0.execute(sql: postsAndUsers) }
        let gateway = InMemoryGateway()
        gateway.write("users", key(1), Self.base)
        let url = try #require(URL(string: "https://gateway.test"))
        var configuration = SyncConfiguration(gateway: url, schema: "business")
        configuration.transport = gateway
        let engine = try SyncEngine(
            for: queue, tables: [SyncTable("users"), SyncTable("posts")],
            configuration: configuration,
            credentials: { InMemoryGateway.token(device: "one") })
        try await engine.syncChanges()
        try await queue.write { try $0.execute(sql: Self.rename) }
        gateway.write("users", key(1), Self.row("a", 9))
        try await engine.sendChanges()
        #expect(gateway.rows("users")[key(1)] == Self.row("local", 9))
    }

    @Test(
        "C1: the server's row of a parent in conflict leaves its children alone",
        arguments: [true, false])
    func parentInConflict(sendsFirst: Bool) async throws {
        let device = try Device { $0.conflictPolicy = .serverWins }
        try device.execute("INSERT INTO users (id, name) VALUES ('\(key(1))', 'a')")
        try device.execute("INSERT INTO posts (id, user_id) VALUES ('\(key(2))', '\(key(1))')")
        try await device.sync()
        try device.execute(Self.rename)
        device.gateway.write("users", key(1), Self.row("server", 9))
        try await Self.meet(device, sendsFirst: sendsFirst)
        #expect(try device.count("SELECT count(*) FROM posts") == 1)
        #expect(device.gateway.rows("posts").count == 1)
    }
}
