import AsyncHTTPClient
import DevStack
import Foundation
import GRDB
import NIOCore
import NIOHTTP1
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP
import OverSQLiteTestSupport
import Postgres
import ServiceKit
import Synchronization
import Testing
import Tokens

/// What the console says of real devices that do not sync: a stranger finds the cause there.
@Suite("Devices are explained", .timeLimit(.minutes(5)))
struct DevicesExplained {
    private static let registrations = """
        tables:
          - {table: app.notes, owner: owner_id}
          - {table: app.tags, owner: owner_id}

        """
    private static let schema = """
        CREATE SCHEMA app;
        CREATE TABLE app.notes (
            id uuid PRIMARY KEY, owner_id text NOT NULL,
            title text CONSTRAINT short CHECK (length(title) < 10));
        CREATE TABLE app.tags (id uuid PRIMARY KEY, owner_id text NOT NULL, name text);
        """

    /// A device of its own user. Its clock goes when the test says so, and is right at the end.
    private struct Device {
        let user: String
        let database: DatabaseQueue
        let engine: SyncEngine
        private let clock: ManualClock

        private final class Box<Value: Sendable>: Sendable {
            let value: Mutex<Value>
            init(_ value: Value) { self.value = Mutex(value) }
        }

        private let seconds: Box<Int>

        init(
            _ user: String, _ stack: StackAddress, _ transport: any HTTPTransport,
            schema: String = "app", check: String = ""
        ) async throws {
            self.user = user
            database = try DatabaseQueue()
            let (clock, seconds) = (ManualClock(now: Date() - 7200), Box(600))
            (self.clock, self.seconds) = (clock, seconds)
            try await database.write { db in
                try db.execute(
                    sql: """
                        CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT \(check));
                        CREATE TABLE tags (id TEXT PRIMARY KEY NOT NULL, name TEXT);
                        """)
            }
            var configuration = SyncConfiguration(
                gateway: try #require(URL(string: stack.gateway)), schema: schema)
            configuration.transport = transport
            configuration.clock = clock
            configuration.appVersion = "7.1"
            let secret = try String(contentsOfFile: stack.hs256SecretFile, encoding: .utf8)
            engine = try SyncEngine(
                for: database, tables: [SyncTable("notes"), SyncTable("tags")],
                configuration: configuration,
                credentials: {
                    let claims = DeviceClaims(
                        user: user, device: "phone", roles: [], issuer: "oversync",
                        audience: "oversync", now: Int(Date().timeIntervalSince1970),
                        lifetime: seconds.value.withLock { $0 })
                    return try await TokenMint(hs256: secret).sign(claims)
                })
        }

        func insert(into table: String, _ value: String) async throws {
            try await database.write { db in
                try db.execute(
                    sql: "INSERT INTO \(table) VALUES (?, ?)",
                    arguments: [UUID().uuidString.lowercased(), value])
            }
        }

        func expireTokens() { seconds.value.withLock { $0 = -100 } }

        /// Syncs when what the server offers is to be asked for again.
        func syncLater() async throws {
            clock.advance(seconds: 3700)
            try await engine.syncChanges()
        }

        /// Syncs with the right time, and so says how it is.
        func syncNow() async throws {
            clock.advance(seconds: Date().timeIntervalSince(clock.now))
            try await engine.syncChanges()
        }
    }

    private struct Answer: Decodable {
        struct Finding: Decodable {
            let code: String
            let text: String
            let next: String
        }

        let is_fine: Bool
        let findings: [Finding]
    }

    private static func explain(
        _ user: String, _ stack: StackAddress, _ client: HTTPClient
    ) async throws -> Answer? {
        var request = HTTPClientRequest(
            url: stack.gateway + "/admin/devices/explain?user=\(user)&device=phone")
        let token = try await stack.token(user: "root", device: "console", roles: ["admin"])
        request.headers.add(name: "authorization", value: "Bearer \(token)")
        let response = try await client.execute(request, timeout: .seconds(30))
        let body = try await response.body.collect(upTo: 1 << 20)
        guard response.status == .ok else { return nil }
        return try JSONDecoder().decode(Answer.self, from: Data(body.readableBytesView))
    }

    /// Waits until the console says so, and compares with the command line.
    private static func expect(
        _ code: String, of device: Device, _ stack: StackAddress, _ client: HTTPClient
    ) async throws {
        var last: Answer?
        do {
            try await eventually("\(device.user): \(code)") {
                last = try await explain(device.user, stack, client)
                return last?.findings.first?.code == code
            }
        } catch {
            Issue.record("\(device.user): \(last.map { "\($0.findings)" } ?? "unknown")")
            throw error
        }
        let finding = try #require(last?.findings.first)
        #expect(!finding.text.isEmpty && !finding.next.isEmpty)
        let (status, text) = try await runProgram(
            "oversync",
            ["devices", "explain", device.user, "phone", "--json", "--database", stack.database],
            environment: ["HOME": "/", "PATH": "/usr/bin:/bin"])
        #expect(status == (last?.is_fine == true ? 0 : 1), "\(text)")
        let told = try JSONDecoder().decode(Answer.self, from: Data(text.utf8))
        #expect(told.findings.first?.code == code)
    }

    private static func execute(_ stack: StackAddress, _ sql: String) async throws {
        try await withConnection(to: stack.database) { try await $0.execute(script: sql) }
    }

    /// ```
    /// each device   syncs ─ something happens to it ─ says how it is, or comes no more
    /// ```
    @Test(
        "Revoked, expired token, rejected, held, behind, wrong schema, old epoch, table gone"
    )
    func situations() async throws {
        try await withStack({ plan(in: $0, Self.registrations, Self.schema) }) { stack in
            let transport = try AsyncHTTPTransport(trusting: stack.authority)
            try await stack.withClient { client in
                try await Self.access(stack, transport, client)
                try await Self.rows(stack, transport, client)
                try await Self.history(stack, transport, client)
                let (status, text) = try await runProgram(
                    "oversync",
                    ["devices", "explain", "nobody", "phone", "--database", stack.database])
                #expect(status == 1 && text.contains("never heard of"), "\(text)")
                let none = try await Self.explain("nobody", stack, client)
                #expect(none == nil)
            }
            try await transport.shutdown()
        }
    }

    private static func access(
        _ stack: StackAddress, _ transport: any HTTPTransport, _ client: HTTPClient
    ) async throws {
        let fine = try await Device("fine", stack, transport)
        try await fine.insert(into: "notes", "a note")
        try await fine.engine.syncChanges()
        try await fine.syncNow()
        try await expect("nothing_wrong", of: fine, stack, client)
        let report = try await withConnection(to: stack.database) {
            try await $0.rows(
                Statement(name: "report", sql: "SELECT report::text FROM sync.device_report"),
                of: String.self
            ).one()
        }
        #expect(report.contains("\"sdk\":\"OverSQLite \(BuildInfo.version)\""), "\(report)")
        #expect(report.contains("\"app\":\"7.1\"") && report.contains("\"cursor\":1"), "\(report)")

        let revoked = try await Device("revoked", stack, transport)
        try await revoked.engine.syncChanges()
        let (status, text) = try await runProgram(
            "oversync",
            [
                "devices", "revoke", "--user", "revoked", "--device", "phone", "--database",
                stack.database,
            ])
        #expect(status == 0, "\(text)")
        try await eventually("the device is refused") {
            (try? await revoked.syncNow()) == nil
        }
        try await expect("revoked", of: revoked, stack, client)

        let expired = try await Device("expired", stack, transport)
        try await expired.insert(into: "notes", "a note")
        try await expired.engine.syncChanges()
        expired.expireTokens()
        await #expect(throws: SyncError.self) { try await expired.syncNow() }
        try await expect("token_rejected", of: expired, stack, client)
    }

    private static func rows(
        _ stack: StackAddress, _ transport: any HTTPTransport, _ client: HTTPClient
    ) async throws {
        let rejected = try await Device("rejected", stack, transport)
        try await rejected.insert(into: "notes", "much too long")
        try await rejected.engine.syncChanges()
        try await expect("rejected_rows", of: rejected, stack, client)

        let held = try await Device(
            "held", stack, transport, check: "CHECK (length(title) < 5)")
        try await held.engine.syncChanges()
        try await execute(
            stack, "INSERT INTO app.notes VALUES (gen_random_uuid(), 'held', 'too long')")
        try await held.engine.syncChanges()
        #expect(held.engine.status.heldCount == 1)
        try await held.syncNow()
        try await expect("held_rows", of: held, stack, client)

        let behind = try await Device("behind", stack, transport)
        try await behind.engine.syncChanges()
        try await behind.syncNow()
        try await expect("nothing_wrong", of: behind, stack, client)
        // It is switched off, and others write.
        try await execute(
            stack,
            """
            INSERT INTO app.notes VALUES (gen_random_uuid(), 'behind', 'news');
            UPDATE sync.device_report r SET reported_at = now() - interval '1 hour'
            FROM sync.scope s WHERE s.scope_id = r.scope_id AND s.user_id = 'behind';
            """)
        try await expect("behind", of: behind, stack, client)
    }

    private static func history(
        _ stack: StackAddress, _ transport: any HTTPTransport, _ client: HTTPClient
    ) async throws {
        let wrong = try await Device("wrong", stack, transport, schema: "other")
        try await wrong.insert(into: "notes", "a note")
        try? await wrong.engine.syncChanges()
        try? await wrong.syncNow()
        try await expect("wrong_schema", of: wrong, stack, client)

        let old = try await Device("old", stack, transport)
        try await old.engine.syncChanges()
        try await old.syncNow()
        try await expect("nothing_wrong", of: old, stack, client)
        let (began, words) = try await runProgram(
            "oversync", ["epoch", "new", "--database", stack.database])
        #expect(began == 0, "\(words)")
        try await expect("old_epoch", of: old, stack, client)
        // It comes, reads everything again, and all is well.
        try await old.engine.syncChanges()

        let gone = try await Device("gone", stack, transport)
        try await gone.insert(into: "tags", "a tag")
        try await gone.engine.syncChanges()
        let folder = URL(filePath: stack.authority).deletingLastPathComponent()
        let fewer = folder.appending(path: "fewer.yaml")
        try "tables:\n  - {table: app.notes, owner: owner_id}\n".write(
            to: fewer, atomically: true, encoding: .utf8)
        let (status, text) = try await runProgram(
            "oversync", ["migrate", "--config", fewer.path, "--database", stack.database])
        #expect(status == 0, "\(text)")
        try await eventually("an edit of the table is rejected") {
            try await gone.insert(into: "tags", "another")
            try await gone.engine.syncChanges()
            return try await gone.engine.rejectedChanges.contains {
                $0.reason == "unregistered_table"
            }
        }
        // It asks what there is, and says what is missing.
        try await gone.syncLater()
        try await gone.syncNow()
        try await expect("table_removed", of: gone, stack, client)
    }
}
