import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Rules of the device that no other suite looks at by itself.
struct DeviceRulesTests {
    @Test("what a transaction that is rolled back wrote is not noted")
    func rollback() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'Ada')", [key(1)])
        try await device.database.write { db in
            try db.inSavepoint {
                try db.execute(sql: "UPDATE users SET name = 'x'")
                try db.execute(sql: "INSERT INTO users (id) VALUES (?)", arguments: [key(2)])
                return .rollback
            }
        }
        #expect(try device.queue() == ["INSERT|0"])
        try await device.sync()
        #expect(
            device.gateway.rows("users") == [
                key(1): #"{"id":"\#(key(1))","name":"Ada","age":null}"#
            ])
    }

    @Test("parents are sent before their children, whichever was written first")
    func parentsFirst() async throws {
        let device = try Device()
        try device.execute("INSERT INTO posts (id) VALUES (?)", [key(2)])
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        try device.execute("UPDATE posts SET user_id = ?", [key(1)])
        try await device.sync()
        let upload = try #require(device.gateway.uploads.first)
        let user = try #require(upload.range(of: #""table":"users""#))
        let post = try #require(upload.range(of: #""table":"posts""#))
        #expect(user.lowerBound < post.lowerBound)
    }

    @Test("all conflicts of an answer are settled at once", arguments: [2, 50])
    func conflictsAtOnce(rows: Int) async throws {
        let device = try Device()
        for number in 1...rows {
            try device.execute("INSERT INTO users (id, name) VALUES (?, 'Ada')", [key(number)])
        }
        try await device.sync()
        let before = device.gateway.uploads.count
        for number in 1...rows {
            device.gateway.write(
                "users", key(number), #"{"id":"\#(key(number))","name":"Ada","age":\#(number)}"#)
        }
        try device.execute("UPDATE users SET name = 'Eve'")
        try await device.engine.sendChanges()
        #expect(device.gateway.uploads.count == before + 2)
        #expect(
            device.gateway.rows("users")[key(rows)]
                == #"{"id":"\#(key(rows))","name":"Eve","age":\#(rows)}"#)
        #expect(device.engine.status.pendingCount == 0)
    }

    @Test("what waits is counted though the server cannot be reached")
    func countedOffline() async throws {
        let device = try Device()
        try await device.sync()
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        device.gateway.next(.download, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.sync() }
        #expect(device.engine.status.pendingCount == 1)
    }

    @Test("what waits is counted when the loop cannot reach the server", .timeLimit(.minutes(1)))
    func countedByTheLoop() async throws {
        let device = try Device()
        device.gateway.next(.download, .loseRequest)
        try await device.engine.start()
        for await status in device.engine.statusUpdates where status.lastError != nil { break }
        device.gateway.next(.download, .loseRequest)
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(1)])
        device.clock.advance(seconds: 60)
        for await status in device.engine.statusUpdates where status.pendingCount == 1 { break }
        await device.engine.stop()
        #expect(device.engine.status.pendingCount == 1)
    }
}
