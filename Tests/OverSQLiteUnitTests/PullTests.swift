import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Applying the feed.
@Suite struct PullTests {
    static func user(_ number: Int, _ name: String = "a") -> String {
        #"{"id":"\#(key(number))","name":"\#(name)"}"#
    }

    static func post(_ number: Int, of user: Int?) -> String {
        #"{"id":"\#(key(number))","user_id":\#(user.map { "\"\(key($0))\"" } ?? "null")}"#
    }

    @Test("C5 H2: a page that was under way when a row was edited does not overwrite the edit")
    func editWhilePageIsUnderWay() async throws {
        let device = try Device { $0.pageLimit = 1 }
        device.gateway.write("users", key(1), Self.user(1))
        try await device.sync()
        device.gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"a","age":7}"#)
        device.gateway.next(
            .download, .holdAnswer(until: device.writing("UPDATE users SET name = 'local'")))
        try await device.engine.fetchChanges()
        #expect(try device.lines("SELECT name, age FROM users") == ["local|7"])
        #expect(try device.queue() == ["UPDATE|2"])
    }

    @Test("C6: the cursor moves by pages alone, not by uploads")
    func cursor() async throws {
        let device = try Device()
        try await device.sync()
        device.gateway.write("users", key(1), Self.user(1))
        try device.execute("INSERT INTO users (id) VALUES (?)", [key(2)])
        try await device.engine.sendChanges()
        #expect(try device.count("SELECT cursor FROM _sync_state") == 0)
        try await device.engine.fetchChanges()
        #expect(try device.count("SELECT count(*) FROM users") == 2)
        #expect(try device.count("SELECT cursor FROM _sync_state") == 2)
    }

    @Test("C7: reading goes on to the end of the window however little of a page is new")
    func hydrateSkippingDeletes() async throws {
        let device = try Device { $0.pageLimit = 2 }
        for number in 1...5 {
            device.gateway.write("users", key(number), Self.user(number))
            if number < 5 { device.gateway.write("users", key(number), nil) }
        }
        device.gateway.write("elsewhere", "x", "{}")
        device.gateway.write("users", key(6), Self.user(6))
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM users") == 2)
        #expect(device.engine.status.hasFinishedFirstSync)
        #expect(try device.queue().isEmpty)
    }

    @Test("a failed page leaves the pages before it, and reading goes on from there")
    func brokenOff() async throws {
        let device = try Device { $0.pageLimit = 2 }
        for number in 1...6 { device.gateway.write("users", key(number), Self.user(number)) }
        device.gateway.next(.download, .holdAnswer {})
        device.gateway.next(.download, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.sync() }
        #expect(try device.count("SELECT count(*) FROM users") == 2)
        #expect(!device.engine.status.hasFinishedFirstSync)
        try device.reopen()
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM users") == 6)
        #expect(
            device.gateway.requests.filter { $0.path.hasSuffix("download") }.dropLast().last?.query[
                "include_self"]
                == "true")
    }

    @Test("I33: an atomic upload of another device shows in the app's tables whole, or not at all")
    func atomicUpload() async throws {
        let device = try Device { $0.pageLimit = 2 }
        device.gateway.write("users", key(1), Self.user(1))
        let changes = (2...4).map { number in
            """
            {"source_change_id":\(number),"schema":"business","table":"users","op":"INSERT",
            "pk":"\(key(number))","payload":\(Self.user(number))}
            """
        }
        let url = try #require(URL(string: "https://gateway.test/sync/upload?atomic=true"))
        var upload = TransportRequest(
            method: "POST", url: url,
            body: Array(#"{"changes":[\#(changes.joined(separator: ","))]}"#.utf8))
        upload.headers["Authorization"] = "Bearer \(InMemoryGateway.token(device: "other"))"
        #expect(try await device.gateway.send(upload).status == 200)
        device.gateway.write("users", key(5), Self.user(5))
        let seen = LockedValue<[Int]>([])
        let database = device.database
        for _ in 0..<2 {
            device.gateway.next(
                .download,
                .holdAnswer {
                    let count = try await database.read { db in
                        try Int.fetchOne(db, sql: "SELECT count(*) FROM users") ?? -1
                    }
                    seen.change { $0.append(count) }
                })
        }
        try await device.sync()
        #expect(seen.value == [0, 4])
        #expect(try device.count("SELECT count(*) FROM users") == 5)
    }

    @Test("a device that lost its rows gets its own back, and never uses a change id twice")
    func ownRowsComeBack() async throws {
        let gateway = InMemoryGateway()
        let before = try Device("one", gateway)
        for number in 1...3 {
            try before.execute("INSERT INTO users (id) VALUES (?)", [key(number)])
        }
        try await before.sync()
        let after = try Device("one", gateway)
        try await after.sync()
        #expect(try after.count("SELECT count(*) FROM users") == 3)
        try after.execute("UPDATE users SET name = 'b'")
        try await after.sync()
        #expect(gateway.logCount() == 6)
    }

    @Test("C11: columns the server does not name keep their values, and those it does are quoted")
    func partialPayload() async throws {
        let device = try Device()
        device.gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"a","age":3}"#)
        try await device.sync()
        device.gateway.write(
            "users", key(1), #"{"id":"\#(key(1))","name":"b","age\") VALUES (1); --":1}"#)
        try await device.sync()
        #expect(try device.lines("SELECT name, age FROM users") == ["b|3"])
    }

    @Test(
        "H8: values of columns this app does not have come back with its edits, and fill the column later"
    )
    func unknownColumns() async throws {
        let device = try Device()
        device.gateway.write("users", key(1), #"{"id":"\#(key(1))","name":"a","mail":"m","age":1}"#)
        try await device.sync()
        try device.execute("UPDATE users SET name = 'b'")
        try await device.sync()
        #expect(
            device.gateway.rows("users")[key(1)]
                == #"{"id":"\#(key(1))","name":"b","age":1,"mail":"m"}"#)
        try device.reopen { try $0.execute(sql: "ALTER TABLE users ADD COLUMN mail TEXT") }
        #expect(try device.text("SELECT mail FROM users") == "m")
        #expect(try device.queue().isEmpty)
        try device.execute("UPDATE users SET mail = 'n'")
        try await device.sync()
        #expect(
            device.gateway.rows("users")[key(1)]
                == #"{"id":"\#(key(1))","name":"b","age":1,"mail":"n"}"#)
    }

    @Test(
        "H8: what was set aside fills its column once, and does not come back with the next new column"
    )
    func unknownColumnsTwice() async throws {
        let device = try Device()
        device.gateway.write(
            "users", key(1), #"{"id":"\#(key(1))","name":"a","mail":"m","phone":"p"}"#)
        try await device.sync()
        try device.reopen { try $0.execute(sql: "ALTER TABLE users ADD COLUMN mail TEXT") }
        try device.execute("UPDATE users SET mail = 'n'")
        try await device.sync()
        try device.execute("UPDATE users SET mail = 'unsent'")
        try device.reopen { try $0.execute(sql: "ALTER TABLE users ADD COLUMN phone TEXT") }
        #expect(try device.lines("SELECT mail, phone FROM users") == ["unsent|p"])
        try await device.sync()
        #expect(
            device.gateway.rows("users")[key(1)]
                == #"{"id":"\#(key(1))","name":"a","age":null,"mail":"unsent","phone":"p"}"#)
    }

    @Test(
        "H8: a value that a new column does not take, or not yet, is no end: its row is read again")
    func unfitColumns() async throws {
        let device = try Device()
        let (post, folder) = (key(1), key(9))
        device.gateway.write(
            "posts", post,
            #"{"id":"\#(post)","user_id":null,"title":"a","folder_id":"\#(folder)","rank":null}"#)
        device.gateway.write("folders", folder, #"{"id":"\#(folder)","name":"f"}"#)
        try await device.sync()
        try device.reopen(tables: ["users", "posts", "folders"].map { SyncTable($0) }) { db in
            try db.execute(
                sql: """
                    CREATE TABLE folders (id TEXT PRIMARY KEY NOT NULL, name TEXT);
                    ALTER TABLE posts ADD COLUMN folder_id TEXT REFERENCES folders (id);
                    ALTER TABLE posts ADD COLUMN rank INTEGER NOT NULL DEFAULT 0;
                    """)
        }
        try await device.sync()
        // The server's null is not for this column: the row is held, with all its other values.
        #expect(device.engine.status.heldCount == 1)
        device.gateway.write(
            "posts", post,
            #"{"id":"\#(post)","user_id":null,"title":"a","folder_id":"\#(folder)","rank":7}"#)
        try await device.sync()
        #expect(try device.lines("SELECT title, folder_id, rank FROM posts") == ["a|\(folder)|7"])
        #expect(device.engine.status.heldCount == 0)
        #expect(try device.queue().isEmpty)
    }

    @Test("a row that a constraint of this database refuses is held, and the others come")
    func localConstraint() async throws {
        let device = try Device(
            schema:
                "CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT UNIQUE, age INTEGER)",
            tables: [SyncTable("users")])
        device.gateway.write("users", key(1), Self.user(1, "same"))
        device.gateway.write("users", key(2), Self.user(2, "same"))
        device.gateway.write("users", key(3), Self.user(3, "other"))
        try await device.sync()
        #expect(try device.lines("SELECT id FROM users ORDER BY id") == [key(1), key(3)])
        device.gateway.write("users", key(1), Self.user(1, "freed"))
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM users") == 3)
    }

    @Test("a page that does not move the cursor is refused instead of asked for again and again")
    func standingCursor() async throws {
        let device = try Device()
        let body = #"{"changes":[],"has_more":true,"next_after":0,"window_until":5}"#
        device.gateway.next(
            .download, .answerInstead(status: 200, body))
        await #expect(throws: SyncError.self) { try await device.sync() }
        #expect(
            device.gateway.requests.map(\.path)
                == ["/sync/bootstrap", "/sync/capabilities", "/sync/download"])
    }

    @Test("observers of GRDB see what sync writes", .timeLimit(.minutes(1)))
    func observation() async throws {
        let device = try Device()
        let observation = ValueObservation.tracking {
            try Int.fetchOne($0, sql: "SELECT count(*) FROM users") ?? 0
        }
        .removeDuplicates()
        var counts = observation.values(in: device.database).makeAsyncIterator()
        #expect(try await counts.next() == 0)
        device.gateway.write("users", key(1), Self.user(1))
        try await device.sync()
        #expect(try await counts.next() == 1)
    }

    @Test("a table that joins later gets the rows that went past before")
    func tableJoinsLater() async throws {
        let device = try Device(tables: [SyncTable("users")])
        device.gateway.write("users", key(1), Self.user(1))
        device.gateway.write("posts", key(2), Self.post(2, of: 1))
        try await device.sync()
        try device.reopen(tables: [SyncTable("users"), SyncTable("posts")])
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM posts") == 1)
        #expect(try device.queue().isEmpty)
    }
}
