import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// What a change of rights must not delete, here or on the server.
@Suite struct TableRightsLossTests: RightsTesting {
    private func list(_ number: Int) -> String { #"{"id":"\#(key(number))"}"# }

    private func entry(_ number: Int, of list: Int, _ title: String = "e") -> String {
        #"{"id":"\#(key(number))","list_id":"\#(key(list))","title":"\#(title)"}"#
    }

    /// Two lists, and two entries of the first, which the server's tables do not connect.
    private func lists(_ more: String) async throws -> Device {
        let schema = """
            CREATE TABLE lists (id TEXT PRIMARY KEY NOT NULL);
            CREATE TABLE entries (id TEXT PRIMARY KEY NOT NULL, list_id TEXT, title TEXT);
            \(more)
            """
        let gateway = InMemoryGateway(tables: [.init("lists"), .init("entries")])
        for number in 1...2 { gateway.write("lists", key(number), list(number)) }
        for number in 11...12 { gateway.write("entries", key(number), entry(number, of: 1)) }
        let device = try Device(
            "one", gateway, schema: schema, tables: [SyncTable("lists"), SyncTable("entries")])
        try await device.sync()
        return device
    }

    private static let sweeping = """
        CREATE TRIGGER sweep AFTER DELETE ON lists BEGIN
          DELETE FROM entries WHERE list_id = OLD.id;
        END;
        """

    @Test("Rows that a trigger of the app's deletes with those of a closed table are read again")
    func trigger() async throws {
        let device = try await lists(Self.sweeping)
        let gateway = device.gateway
        gateway.close("lists")
        try await device.sync()
        #expect(try ids(device, "lists") == [])
        #expect(try device.queue() == [])
        #expect(try ids(device, "entries") == [11, 12])
        gateway.open("lists")
        try await device.sync()
        #expect(try ids(device, "lists") == [1, 2])
        #expect(gateway.uploads.isEmpty && gateway.rows("entries").count == 2)
        let report = try await device.engine.verify()
        #expect(report.isEqual, "\(report)")
    }

    @Test("A row stays while a trigger of the app's would delete an edited one with it")
    func triggerMeetsEdit() async throws {
        let device = try await lists(Self.sweeping)
        let gateway = device.gateway
        gateway.close("lists")
        try device.execute("UPDATE entries SET title = 'mine' WHERE id = ?", [key(11)])
        try await device.engine.fetchChanges()
        #expect(try ids(device, "lists") == [1])
        #expect(try device.lines("SELECT title FROM entries ORDER BY id") == ["mine", "e"])
        try await device.sync()
        #expect(gateway.rows("entries")[key(11)] == entry(11, of: 1, "mine"))
        try await device.sync()
        #expect(try ids(device, "lists") == [])
        #expect(try device.lines("SELECT title FROM entries ORDER BY id") == ["mine", "e"])
        #expect(gateway.uploads.count == 1 && gateway.rows("entries").count == 2)
    }

    @Test("A cascade through a table that is not synced sends nothing")
    func throughOtherTable() async throws {
        let device = try await lists(
            """
            CREATE TABLE folders (
              id INTEGER PRIMARY KEY, list TEXT REFERENCES lists (id) ON DELETE CASCADE);
            ALTER TABLE entries ADD COLUMN folder INTEGER
              REFERENCES folders (id) ON DELETE CASCADE;
            """)
        try device.execute("INSERT INTO folders VALUES (1, ?)", [key(1)])
        try device.execute("UPDATE entries SET folder = 1 WHERE id = ?", [key(11)])
        try await device.sync()
        let uploads = device.gateway.uploads.count
        device.gateway.close("lists")
        for _ in 0..<2 {
            try await device.sync()
            #expect(try ids(device, "lists") == [])
            #expect(try device.queue() == [])
        }
        #expect(device.gateway.uploads.count == uploads)
        #expect(device.gateway.rows("entries").count == 2)
    }

    // MARK: Spellings

    /// A key with letters.
    private func lettered(_ number: Int) -> String { "abcdef" + key(number).dropFirst(6) }

    /// Users whose keys compare without regard to case, and a post that spells its user's in
    /// capitals.
    private func spelled() async throws -> Device {
        let schema = """
            CREATE TABLE users (id TEXT PRIMARY KEY COLLATE NOCASE NOT NULL, name TEXT);
            CREATE TABLE posts (
              id TEXT PRIMARY KEY NOT NULL,
              user_id TEXT REFERENCES users (id) ON DELETE CASCADE, title TEXT);
            """
        let gateway = InMemoryGateway(tables: [.init("users"), .init("posts")])
        for number in 1...2 {
            gateway.write(
                "users", lettered(number), #"{"id":"\#(lettered(number))","name":"u"}"#)
        }
        let device = try Device("one", gateway, schema: schema) { $0.pageLimit = 1 }
        try await device.sync()
        try device.execute(
            "INSERT INTO posts VALUES (?, ?, 'p')", [key(11), lettered(1).uppercased()])
        try await device.sync()
        #expect(
            try device.text("SELECT user_id FROM posts") == lettered(1).uppercased())
        return device
    }

    @Test("A closed row is found to be referred to as the parent's column compares")
    func collation() async throws {
        let device = try await spelled()
        device.gateway.close("users")
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM users") == 0)
        #expect(try device.queue() == [])
        try await device.sync()
        #expect(device.gateway.uploads.count == 1)
        #expect(device.gateway.rows("posts").count == 1)
    }

    @Test("A delete waits for the rows that refer to its row as the parent's column compares")
    func lateDelete() async throws {
        let device = try await spelled()
        device.gateway.write("users", lettered(1), nil)
        device.gateway.write(
            "posts", key(11),
            #"{"id":"\#(key(11))","user_id":"\#(lettered(2))","title":"p"}"#)
        device.gateway.next(.download, .holdAnswer {})
        device.gateway.next(.download, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.engine.fetchChanges() }
        #expect(try device.count("SELECT count(*) FROM posts") == 1)
        try await device.sync()
        #expect(try device.text("SELECT user_id FROM posts") == lettered(2))
        #expect(device.gateway.uploads.count == 1)
        #expect(device.gateway.rows("posts").count == 1)
    }

    // MARK: Compacted deletions

    @Test("Reading an opened table does not hide that deletions of others were compacted")
    func compactedElsewhere() async throws {
        let device = try await hydrated { $0.pageLimit = 1 }
        let gateway = device.gateway
        gateway.close("posts")
        try await device.sync()
        // The last change that the device knows, of the second post, stays in the log.
        gateway.write("users", key(2), nil)
        gateway.compact()
        gateway.write("users", key(5), payload(5, "u"))
        gateway.open("posts")
        try device.reopen()
        try await device.sync()
        #expect(try ids(device, "users") == [1, 5])
        #expect(try ids(device, "posts") == [11, 12])
        #expect(gateway.uploads.isEmpty)
        let report = try await device.engine.verify()
        #expect(report.isEqual, "\(report)")
    }

    @Test("A row that stayed while its table was closed learns that it was deleted meanwhile")
    func pinnedWhileClosed() async throws {
        let device = try await hydrated()
        let gateway = device.gateway
        try device.execute("CREATE TABLE pins (post TEXT REFERENCES posts (id))")
        try device.execute("INSERT INTO pins VALUES (?)", [key(12)])
        try device.reopen()
        gateway.close("posts")
        try await device.sync()
        #expect(try ids(device, "posts") == [12])
        gateway.write("posts", key(12), nil)
        try await device.sync()
        gateway.compact()
        gateway.open("posts")
        try await device.sync()
        // As after any reread, a row that cannot go here is created on the server again.
        #expect(try ids(device, "posts") == [11, 12])
        #expect(gateway.rows("posts").keys.sorted() == [key(11), key(12)])
        let report = try await device.engine.verify()
        #expect(report.isEqual, "\(report)")
    }

    // MARK: Edits

    @Test("Edits of a table that was opened are sent soon, though one more is refused")
    func dueSoon() async throws {
        let device = try await hydrated()
        try device.execute("UPDATE posts SET title = 'mine' WHERE id = ?", [key(11)])
        device.gateway.close("posts")
        for _ in 0..<10 {
            try await device.sync()
            device.clock.advance(seconds: RetrySchedule.longest)
        }
        device.gateway.open("posts")
        // Upload reads what may be written a little later than Download.
        device.gateway.refuse("posts", key(11), reason: "forbidden_table")
        try await device.sync()
        device.gateway.refuse("posts", key(11), reason: nil)
        device.clock.advance(seconds: RetrySchedule.soon)
        try await device.sync()
        #expect(device.gateway.rows("posts")[key(11)] == post(11, of: 1, "mine"))
        #expect(try await device.engine.rejectedChanges.isEmpty)
    }

    @Test("A server that tells tables but does not name them is not asked about them by polls")
    func unnamed() async throws {
        let gateway = InMemoryGateway(tables: TableRightsTests.tables)
        let older = OlderUpload(gateway)
        let device = try Device("one", gateway) {
            $0.transport = older
            $0.longPoll = 25
        }
        var polls = older.polls.makeAsyncIterator()
        try await device.engine.start()
        #expect(await polls.next() == .some(nil))
        await device.engine.stop()
    }
}

/// A gateway whose Upload service is older than its Download service: pages tell the tables, and
/// nothing names them.
private final class OlderUpload: HTTPTransport {
    private static let header = "Oversync-Tables"

    private let gateway: InMemoryGateway
    /// What the requests that wait for news say of the tables.
    let polls: AsyncStream<String?>
    private let told: AsyncStream<String?>.Continuation

    init(_ gateway: InMemoryGateway) {
        self.gateway = gateway
        (polls, told) = AsyncStream.makeStream()
    }

    func send(_ request: TransportRequest) async throws -> TransportResponse {
        var request = request
        if request.url.path.hasSuffix("sync/capabilities") { request.headers[Self.header] = nil }
        if request.url.query?.contains("wait=") == true {
            told.yield(request.headers[Self.header])
        }
        return try await gateway.send(request)
    }
}
