import Foundation
import Logging
import Model
import Postgres
import Protos
import RPC
import ServiceKit
import Testing
@testable import UploadService

/// Devices that headers name belong to the users who named them first.
@Suite("Devices that headers name")
struct ClaimDeviceTests {
    private static func claim(
        _ database: SyncedDatabase, _ user: String, _ device: String, most: Int = 1000
    ) async throws -> String? {
        let claim = ClaimDevice(
            pool: database.pool, maximumDevices: most,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        return try await code(of: claim, user, device)
    }

    /// The code of the refusal; nil if there is none.
    private static func code(
        of claim: ClaimDevice, _ user: String, _ device: String
    ) async throws -> String? {
        do {
            _ = try await claim(
                CallContext(
                    requestID: "test", deadline: .now + .seconds(20),
                    caller: CallerIdentity(user: user, device: device)))
            return nil
        } catch let failure as RPCFailure {
            #expect(failure.status == .permissionDenied)
            return failure.code
        }
    }

    private static func owners(_ database: SyncedDatabase) async throws -> String? {
        try await database.value(
            """
            SELECT string_agg(s.user_id || ' ' || d.device || ' ' || d.source_no, ', '
                ORDER BY s.user_id, d.source_no)
            FROM sync.source d JOIN sync.scope s USING (scope_id)
            """)
    }

    @Test("A device is bound to its first user, also to one that the server does not know yet")
    func first() async throws {
        try await SyncedDatabase.with { database in
            var codes: [String?] = []
            for (user, device) in [
                ("ann", "phone"), ("ann", "phone"), ("bob", "phone"), ("bob", "tablet"),
                ("ann", "laptop"),
            ] {
                codes.append(try await Self.claim(database, user, device))
            }
            #expect(codes == [nil, nil, "device_taken", nil, nil])
            let owners = try await Self.owners(database)
            #expect(owners == "ann phone 1, ann laptop 2, bob tablet 1")
        }
    }

    @Test("A device that another user's token has used is refused, and its own user keeps it")
    func used() async throws {
        try await SyncedDatabase.with { database in

            try await database.upload(
                "ann", device: "phone", change(1, "INSERT", "notes", id("a1"), "{}"))
            #expect(try await Self.claim(database, "bob", "phone") == "device_taken")
            #expect(try await Self.claim(database, "ann", "phone") == nil)
            // Tokens may give two users one device: each goes on with it, and nobody else gets it.
            try await database.upload(
                "bob", device: "phone", change(1, "INSERT", "notes", id("b1"), "{}"))
            #expect(try await Self.claim(database, "bob", "phone") == nil)
            #expect(try await Self.claim(database, "cid", "phone") == "device_taken")
        }
    }

    @Test("A bound device uploads under its number, and is revoked as any other")
    func upload() async throws {
        try await SyncedDatabase.with { database in
            #expect(try await Self.claim(database, "ann", "phone") == nil)
            try await database.upload(
                "ann", device: "phone", change(1, "INSERT", "notes", id("a1"), "{}"))
            #expect(try await Self.owners(database) == "ann phone 1")
            try await database.execute("UPDATE sync.source SET revoked_at = now()")
            #expect(try await Self.claim(database, "ann", "phone") == nil)
            await #expect(throws: RPCFailure.deviceRevoked) {
                try await database.upload(
                    "ann", device: "phone", change(2, "INSERT", "notes", id("a2"), "{}"))
            }
        }
    }

    @Test("While the user's log is locked, a claim gives up soon and can be repeated")
    func lockedLog() async throws {
        try await SyncedDatabase.with { database in
            let first = try await Self.claim(database, "ann", "phone")
            #expect(first == nil)
            try await database.execute("BEGIN; SELECT FROM sync.scope FOR UPDATE")
            let claim = ClaimDevice(
                pool: database.pool, maximumDevices: 1000,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            let context = CallContext(
                requestID: "test", deadline: .now + .seconds(20),
                caller: CallerIdentity(user: "ann", device: "laptop"))
            let start = ContinuousClock.now
            let failure = await #expect(throws: RPCFailure.self) { try await claim(context) }
            #expect(failure?.status == .unavailable, "\(String(describing: failure))")
            #expect(.now - start < .seconds(10))
            try await database.execute("ROLLBACK")
            let again = try await Self.claim(database, "ann", "laptop")
            #expect(again == nil)
        }
    }

    @Test("A device is found by its index, whatever the number of devices")
    func plan() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute("SET enable_seqscan = off")
            let sql = DeviceStatements.ReadDeviceUse.statement.sql
                .replacing("$1", with: "'ann'").replacing("$2", with: "'phone'")
            let result = try await database.sql.run(
                Command(Statement(name: "explain_device_use", sql: "EXPLAIN " + sql)))
            let plan = try (0..<result.rowCount).compactMap { try result.optionalString($0, 0) }
            #expect(plan.filter { $0.contains("source_device") }.count == 2, "\(plan)")
        }
    }

    @Test("A user invents no more devices than may be, and keeps those it has")
    func bound() async throws {
        try await SyncedDatabase.with { database in
            var codes: [String?] = []
            for (user, device) in [
                ("ann", "d1"), ("ann", "d2"), ("ann", "d3"), ("ann", "d4"), ("ann", "d2"),
                ("bob", "d4"),
            ] {
                codes.append(try await Self.claim(database, user, device, most: 3))
            }
            #expect(codes == [nil, nil, nil, "too_many_devices", nil, nil])
        }
    }

    /// ```
    /// ann   begin  lock d  insert ─────── commit
    /// bob   begin  lock d ── waits ────────────── sees ann's
    /// ```
    @Test("Of users who name one device at once, one gets it")
    func race() async throws {
        try await SyncedDatabase.with { database in
            for round in 1...5 {
                let codes = try await withThrowingTaskGroup(of: String?.self) { group in
                    for user in 1...6 {
                        group.addTask {
                            try await Self.claim(database, "user-\(user)", "device-\(round)")
                        }
                    }
                    var codes: [String?] = []
                    for try await code in group { codes.append(code) }
                    return codes
                }
                #expect(codes.filter { $0 == nil }.count == 1)
                #expect(codes.filter { $0 == "device_taken" }.count == 5)
            }
        }
    }

    @Test("Devices that a user names at once get numbers of their own, also beside uploads")
    func numbers() async throws {
        try await SyncedDatabase.with { database in
            let claim = ClaimDevice(
                pool: database.pool, maximumDevices: 1000,
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 1...8 {
                    group.addTask {
                        let code = try await Self.code(of: claim, "ann", "named-\(number)")
                        #expect(code == nil)
                    }
                    group.addTask {
                        let row = id("b\(number)")
                        try await database.upload(
                            "ann", device: "told-\(number)", change(1, "INSERT", "notes", row, "{}")
                        )
                    }
                }
                try await group.waitForAll()
            }
            #expect(
                try await database.value(
                    "SELECT count(DISTINCT source_no) || ' ' || max(source_no) FROM sync.source")
                    == "16 16")
        }
    }
}
