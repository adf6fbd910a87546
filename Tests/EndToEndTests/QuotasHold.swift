import DevStack
import Foundation
import GRDB
import NIOHTTP1
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP
import Testing

/// A device whose user has as much as it may have, over HTTPS.
@Suite("Quotas hold", .timeLimit(.minutes(3)))
struct QuotasHold {
    private static func plan(in directory: StackDirectory) -> Stack.Plan {
        var plan = demonstrationPlan(in: directory)
        plan.environmentOf["upload"] = [
            "OVERSYNC_QUOTA_ROWS": "3", "OVERSYNC_QUOTA_DEVICES": "2",
        ]
        return plan
    }

    private static func insert(_ count: Int, into database: DatabaseQueue) async throws {
        try await database.write { db in
            for number in 0..<count {
                try db.execute(
                    sql: "INSERT INTO users VALUES (?, ?)",
                    arguments: [UUID().uuidString.lowercased(), "user \(number)"])
            }
        }
    }

    /// ```
    /// phone   4 rows ─ sync: 3 are there ─ edit and delete pass ─ the fourth goes as well
    /// laptop  gets what is there        third: no device may join
    /// ```
    @Test("A device keeps what has no room, says why, and sends it when there is room again")
    func rows() async throws {
        try await withStack(Self.plan) { stack in
            let transport = try AsyncHTTPTransport(trusting: stack.authority)
            let (phone, laptop) = (try DatabaseQueue(), try DatabaseQueue())
            let engine = try await stack.engineOfUsers(for: phone, device: "phone", transport)
            try await Self.insert(4, into: phone)
            try await engine.syncChanges()
            let rejected = try await engine.rejectedChanges
            #expect(rejected.count == 1)
            let change = try #require(rejected.first)
            #expect(change.reason == "materialize_error")
            #expect(change.message?.contains("the quota of 3 rows is used up") == true)
            #expect(change.retryAt != nil)
            let kept = try await phone.read {
                try Int.fetchOne($0, sql: "SELECT count(*) FROM users")
            }
            #expect(kept == 4)

            // A later edit and a delete are not held up.
            try await phone.write { db in
                try db.execute(
                    sql: """
                        UPDATE users SET name = 'edited' WHERE id = (
                            SELECT id FROM users WHERE id <> ? ORDER BY id LIMIT 1);
                        """, arguments: [change.key])
                try db.execute(
                    sql: """
                        DELETE FROM users WHERE id = (
                            SELECT id FROM users WHERE id <> ? ORDER BY id DESC LIMIT 1)
                        """, arguments: [change.key])
            }
            try await engine.syncChanges()
            for change in try await engine.rejectedChanges { try await engine.retry(change) }
            try await engine.syncChanges()
            #expect(try await engine.rejectedChanges.isEmpty)
            let reader = try await stack.engineOfUsers(for: laptop, device: "laptop", transport)
            try await reader.syncChanges()
            func names(_ database: DatabaseQueue) async throws -> [String] {
                try await database.read {
                    try String.fetchAll($0, sql: "SELECT name FROM users ORDER BY id")
                }
            }
            let (here, there) = (try await names(phone), try await names(laptop))
            #expect(here == there && there.count == 3 && there.contains("edited"))

            try await laptop.write { try $0.execute(sql: "UPDATE users SET name = 'x'") }
            try await reader.syncChanges()
            let other = try DatabaseQueue()
            let third = try await stack.engineOfUsers(for: other, device: "third", transport)
            try await Self.insert(1, into: other)
            await #expect {
                try await third.syncChanges()
            } throws: {
                guard case SyncError.refused(403, "too_many_devices", _)? = $0 as? SyncError
                else { return false }
                return true
            }
            #expect(try await third.pendingChanges().count == 1, "its edit is kept")
            try await Self.expectShown(stack)
            try await transport.shutdown()
        }
    }

    private struct Shown: Decodable {
        let rows: Int
        let row_quota: Int?
        let byte_quota: Int?
        let device_quota: Int?
        let devices: Int
    }

    private static func expectShown(_ stack: StackAddress) async throws {
        var shown: Shown?
        // Upload records its settings a moment after its start.
        try await eventually("the quotas are recorded") {
            let (status, text) = try await runProgram(
                "oversync", ["users", "show", "ann", "--json", "--database", stack.database],
                withErrors: false)
            #expect(status == 0, "\(text)")
            shown = try JSONDecoder().decode(Shown.self, from: Data(text.utf8))
            return shown?.row_quota != nil
        }
        #expect(shown?.rows == 3 && shown?.row_quota == 3)
        #expect(shown?.devices == 2 && shown?.device_quota == 2 && shown?.byte_quota == nil)
        let (_, text) = try await runProgram(
            "oversync", ["users", "show", "ann", "--database", stack.database])
        #expect(text.contains("rows              3 of 3"))
        try await stack.withClient { client in
            let token = try await stack.token(user: "root", device: "c", roles: ["admin"])
            let admin = try await WireDevice(stack, client, user: "root", device: "c")
            let answer = try await admin.send(.GET, "/admin/users?user=ann", token: token)
            #expect(try answer.value("quota", "rows") == "3")
            #expect(try answer.value("rows") == "3")
        }
    }
}
