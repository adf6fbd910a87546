import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Edits that the server has and whose answer was lost, under those that others have made on top of them since.
///
/// ```
/// device     send(edit) ── ✕ ──────────────── fetch ── send(edit, the same) ──
/// server          applied      edited elsewhere            known already
/// ```
@Suite(.timeLimit(.minutes(1))) struct UnansweredEditTests {
    private func expect(_ rows: [String], _ device: Device) async throws {
        // What comes last is everywhere, and nothing waits or is held.
        for _ in 1...2 { try await device.sync() }
        #expect(try device.lines("SELECT id, name, age FROM users") == rows)
        #expect(
            device.gateway.rows("users")
                == Dictionary(
                    uniqueKeysWithValues: rows.map { row in
                        let values = row.split(separator: "|")
                        return (
                            String(values[0]),
                            #"{"id":"\#(values[0])","name":"\#(values[1])","age":\#(values[2])}"#
                        )
                    }))
        #expect(try device.queue().isEmpty)
        #expect(device.engine.status.heldCount == 0)
    }

    private func write(_ device: Device, name: String, age: Int) {
        device.gateway.write(
            "users", key(1), #"{"id":"\#(key(1))","name":"\#(name)","age":\#(age)}"#)
    }

    private func lose(_ edit: String, _ device: Device) async throws {
        try device.execute(edit)
        device.gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.sync() }
    }

    @Test("what another device has added to a new row is not overwritten by the row as it was")
    func insert() async throws {
        let device = try Device()
        try await lose("INSERT INTO users (id, name) VALUES ('\(key(1))', 'Ada')", device)
        write(device, name: "Ada", age: 36)
        try await expect(["\(key(1))|Ada|36"], device)
    }

    @Test("a new row that was edited again keeps both the edit and what another device has added")
    func insertAndEdit() async throws {
        let device = try Device()
        try await lose("INSERT INTO users (id, name) VALUES ('\(key(1))', 'Ada')", device)
        try device.execute("UPDATE users SET name = 'Ada L.'")
        write(device, name: "Ada", age: 36)
        try await expect(["\(key(1))|Ada L.|36"], device)
    }

    @Test("an edit of the same column on top of this device's stands")
    func update() async throws {
        let device = try Device()
        write(device, name: "Ada", age: 36)
        try await device.sync()
        try await lose("UPDATE users SET name = 'Ada L.'", device)
        write(device, name: "Countess", age: 36)
        try await expect(["\(key(1))|Countess|36"], device)
    }

    @Test("a column that the server has as it was sent is no edit of somebody else's")
    func updateAndEdit() async throws {
        let device = try Device(
            tables: [
                SyncTable("users", conflictPolicy: .fieldwise(clash: .server)), SyncTable("posts"),
            ])
        write(device, name: "Ada", age: 36)
        try await device.sync()
        try await lose("UPDATE users SET name = 'Ada L.'", device)
        try device.execute("UPDATE users SET name = 'Ada King'")
        write(device, name: "Ada L.", age: 37)
        try await expect(["\(key(1))|Ada King|37"], device)
    }

    @Test("a new row that another device has deleted since stays deleted")
    func deleted() async throws {
        let device = try Device()
        try await lose("INSERT INTO users (id, name) VALUES ('\(key(1))', 'Ada')", device)
        device.gateway.write("users", key(1), nil)
        try await expect([], device)
    }
}
