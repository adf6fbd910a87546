import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// A version of the app that no longer syncs a table whose rows wait.
@Suite(.timeLimit(.minutes(1))) struct FormerTableTests {
    @Test(
        "rows of a table that is no longer synced hold up no others, and are sent when it returns")
    func starvation() async throws {
        let device = try Device { $0.uploadLimit = 2 }
        try await device.sync()
        for number in 1...3 {
            device.gateway.refuse("users", key(number), reason: "fk_missing")
            try device.execute("INSERT INTO users (id) VALUES (?)", [key(number)])
        }
        try await device.sync()
        try device.reopen(tables: [SyncTable("posts")])
        for number in 1...3 { device.gateway.refuse("users", key(number), reason: nil) }
        try device.execute("INSERT INTO posts (id) VALUES (?)", [key(9)])
        device.clock.advance(seconds: RetrySchedule.longest)
        try await device.sync()
        #expect(device.gateway.rows("posts").count == 1)
        // Nothing is due, so that a loop would rest, and nothing is stuck.
        #expect(try await device.engine.session.send() == nil)
        device.clock.advance(seconds: 3600)
        try await device.engine.session.refreshCounts()
        #expect(device.engine.status.lastError == nil)
        try device.reopen()
        try await device.sync()
        #expect(device.gateway.rows("users").count == 3)
        #expect(device.engine.status.pendingCount == 0)
    }

    @Test("a table that is named twice is refused, in whatever spelling")
    func twice() throws {
        let error = SyncError.unusableTable("USERS", "it is named twice")
        #expect(throws: error) { try Device(tables: [SyncTable("users"), SyncTable("USERS")]) }
    }

    @Test(
        "what the app has under the name of the library's view stays the app's",
        arguments: ["TABLE sync_row_status (id)", "VIEW Sync_Row_Status AS SELECT 1"])
    func viewName(made: String) throws {
        #expect(throws: SyncError.self) {
            try Device(schema: "\(postsAndUsers); CREATE \(made)")
        }
    }
}
