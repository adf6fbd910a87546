import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// Tables that are closed to the user, and opened again.
@Suite struct TableRightsTests: RightsTesting {
    static let tables: [InMemoryGateway.Table] = [
        .init("users"), .init("posts", references: ["user_id": "users"]),
    ]

    private func access(_ events: AsyncStream<SyncEvent>) async -> AccessReport? {
        for await event in events {
            if case .access(let report) = event { return report }
        }
        return nil
    }

    private func downloads(_ device: Device, since count: Int) -> [[String: String]] {
        device.gateway.requests.dropFirst(count).filter { $0.path.hasSuffix("download") }
            .map(\.query)
    }

    @Test("The rows of a closed table go, and nothing is sent; opened again, it alone is read")
    func closedAndOpened() async throws {
        let device = try await hydrated()
        let log = device.gateway.logCount()
        let events = device.engine.events
        device.gateway.close("posts")
        // Meanwhile the log goes on, with rows that this device does not see.
        device.gateway.write("posts", key(13), post(13, of: 2, "new"))
        device.gateway.write("users", key(3), payload(3, "u"))
        try await device.sync()
        #expect(try ids(device, "posts") == [])
        #expect(try ids(device, "users") == [1, 2, 3])
        #expect(
            await access(events) == AccessReport(opened: [], closed: ["posts"], removedRows: 2))
        #expect(device.gateway.logCount() == log + 2)
        #expect(device.gateway.uploads.isEmpty)
        let again = try await device.engine.verify()
        #expect(again.tables.map(\.outcome) == [.equal, .notCompared])

        let later = device.engine.events
        device.gateway.open("posts")
        let before = device.gateway.requests.count
        try await device.sync()
        #expect(try ids(device, "posts") == [11, 12, 13])
        #expect(
            await access(later) == AccessReport(opened: ["posts"], closed: [], removedRows: 0))
        #expect(device.gateway.uploads.isEmpty)
        let pages = downloads(device, since: before)
        // The first shows the change, the second whether the device was away for too long, and the
        // last asks for what came since.
        #expect(pages.map { $0["after"] } == ["6", "6", "0", "6"])
        #expect(pages.map { $0["tables"] } == [nil, nil, "posts", nil])
        #expect(pages.map { $0["include_self"] } == [nil, nil, "true", nil])
        let report = try await device.engine.verify()
        #expect(report.isEqual, "\(report)")
    }

    @Test("Edits of a closed table are listed as rejected, and are sent once it is open again")
    func edits() async throws {
        let device = try await hydrated()
        try device.execute("UPDATE posts SET title = 'mine' WHERE id = ?", [key(11)])
        try device.execute("DELETE FROM posts WHERE id = ?", [key(12)])
        try device.execute("INSERT INTO posts (id, title) VALUES (?, 'new')", [key(14)])
        device.gateway.close("posts")
        try await device.sync()
        let rejected = try await device.engine.rejectedChanges
        #expect(Set(rejected.map(\.key)) == [key(11), key(12), key(14)])
        #expect(Set(rejected.map(\.reason)) == ["forbidden_table"])
        #expect(try ids(device, "posts") == [11, 14])
        #expect(device.gateway.rows("posts")[key(11)] == post(11, of: 1, "p"))

        device.gateway.open("posts")
        try await device.sync()
        #expect(try await device.engine.rejectedChanges.isEmpty)
        #expect(try device.queue() == [])
        #expect(try ids(device, "posts") == [11, 14])
        #expect(device.gateway.rows("posts").keys.sorted() == [key(11), key(14)])
        #expect(device.gateway.rows("posts")[key(11)] == post(11, of: 1, "mine"))
        #expect(try await device.engine.settledConflicts.isEmpty)
    }

    @Test("An edit that is discarded while its table is closed leaves no row behind")
    func discarded() async throws {
        let device = try await hydrated()
        try device.execute("UPDATE posts SET title = 'mine' WHERE id = ?", [key(11)])
        device.gateway.close("posts")
        try await device.sync()
        let rejected = try #require(try await device.engine.rejectedChanges.first)
        try await device.engine.discard(rejected)
        try await device.sync()
        #expect(try ids(device, "posts") == [])
        #expect(device.gateway.rows("posts").count == 2)
        device.gateway.open("posts")
        try await device.sync()
        #expect(try ids(device, "posts") == [11, 12])
    }

    @Test("An edit meets what another device wrote while the table was closed as a conflict")
    func conflict() async throws {
        let device = try await hydrated()
        try device.execute("UPDATE posts SET title = 'mine' WHERE id = ?", [key(11)])
        device.gateway.close("posts")
        try await device.sync()
        let likes = post(11, of: 1, "p").replacing(#""likes":null"#, with: #""likes":7"#)
        device.gateway.write("posts", key(11), likes)
        device.gateway.write("posts", key(12), nil)
        device.gateway.compact()
        device.gateway.open("posts")
        try await device.sync()
        #expect(
            device.gateway.rows("posts")[key(11)] == likes.replacing(#""p""#, with: #""mine""#))
        #expect(try ids(device, "posts") == [11])
        let report = try await device.engine.verify()
        #expect(report.isEqual, "\(report)")
    }

    @Test("Children of a closed parent are held, as on a device that never had it, and come back")
    func parentClosed() async throws {
        let device = try await hydrated()
        let (log, uploads) = (device.gateway.logCount(), device.gateway.uploads.count)
        device.gateway.close("users")
        try await device.sync()
        #expect(try ids(device, "users") == [])
        #expect(try ids(device, "posts") == [])
        let held = try await device.engine.heldRows
        #expect(held.map(\.key) == [key(11), key(12)])
        #expect(held.allSatisfy { $0.cause == .missingParent })
        #expect(device.gateway.logCount() == log && device.gateway.uploads.count == uploads)
        // A device that starts now has the same.
        let other = try Device("two", device.gateway)
        try await other.sync()
        #expect(try await other.engine.heldRows.map(\.key) == [key(11), key(12)])
        #expect(try ids(other, "users") == [])

        device.gateway.open("users")
        for device in [device, other] {
            try await device.sync()
            #expect(try ids(device, "users") == [1, 2])
            #expect(try ids(device, "posts") == [11, 12])
            #expect(try await device.engine.heldRows.isEmpty)
            let report = try await device.engine.verify()
            #expect(report.isEqual, "\(report)")
        }
        #expect(device.gateway.logCount() == log && device.gateway.uploads.count == uploads)
    }

    @Test("A row that an edited one refers to stays until the edit is sent")
    func editedChild() async throws {
        let device = try await hydrated()
        device.gateway.close("users")
        try device.execute("UPDATE posts SET title = 'mine' WHERE id = ?", [key(11)])
        try await device.engine.fetchChanges()
        #expect(try ids(device, "users") == [1])
        // The other post has its parent, too.
        #expect(try ids(device, "posts") == [11, 12])
        try await device.engine.sendChanges()
        #expect(device.gateway.rows("posts")[key(11)] == post(11, of: 1, "mine"))
        try await device.engine.fetchChanges()
        #expect(try ids(device, "users") == [])
        #expect(try await device.engine.heldRows.map(\.key) == [key(11), key(12)])
        #expect(device.gateway.rows("posts").count == 2 && device.gateway.rows("users").count == 2)
        device.gateway.open("users")
        try await device.sync()
        #expect(
            try device.lines("SELECT title FROM posts ORDER BY id") == ["mine", "p"])
    }

    @Test("A row of a table that is not synced goes as its foreign key says, or keeps its parent")
    func otherTables() async throws {
        let device = try await hydrated()
        try device.execute(
            """
            CREATE TABLE stars (post TEXT REFERENCES posts (id) ON DELETE CASCADE);
            CREATE TABLE pins (post TEXT REFERENCES posts (id));
            INSERT INTO stars VALUES ('\(key(11))'); INSERT INTO pins VALUES ('\(key(12))');
            """)
        try device.reopen()
        device.gateway.close("posts")
        try await device.sync()
        #expect(try ids(device, "posts") == [12])
        #expect(try device.count("SELECT count(*) FROM stars") == 0)
        try device.execute("DELETE FROM pins")
        try await device.sync()
        #expect(try ids(device, "posts") == [])
        #expect(device.gateway.rows("posts").count == 2)
    }

    @Test("What refers to a row that has to stay stays with it")
    func childrenOfKept() async throws {
        let device = try await hydrated()
        try device.execute(
            """
            CREATE TABLE pins (user TEXT REFERENCES users (id));
            INSERT INTO pins VALUES ('\(key(1))');
            """)
        try device.reopen()
        device.gateway.close("users")
        for _ in 0..<2 {
            try await device.sync()
            #expect(try ids(device, "users") == [1])
            #expect(try ids(device, "posts") == [11, 12])
        }
        try device.execute("DELETE FROM pins")
        try await device.engine.fetchChanges()
        #expect(try ids(device, "users") == [])
        #expect(try await device.engine.heldRows.map(\.key) == [key(11), key(12)])
        #expect(device.gateway.uploads.isEmpty)
    }

    @Test("A page that was under way when the rights changed is not applied")
    func underWay() async throws {
        let device = try await hydrated()
        let gateway = device.gateway
        gateway.write("users", key(4), payload(4, "u"))
        // Its answer was made before.
        gateway.next(.download, .holdAnswer(until: { gateway.close("posts") }))
        try await device.sync()
        gateway.next(.download, .holdRequest(until: { gateway.open("posts") }))
        gateway.write("posts", key(15), post(15, of: 1, "late"))
        try await device.sync()
        #expect(try ids(device, "posts") == [11, 12, 15])
        #expect(try ids(device, "users") == [1, 2, 4])
        try await device.sync()
        let report = try await device.engine.verify()
        #expect(report.isEqual, "\(report)")
        #expect(gateway.uploads.isEmpty)
    }

    @Test("Rights that change between the pages of an opened table's reading are followed")
    func betweenPages() async throws {
        let device = try await hydrated { $0.pageLimit = 1 }
        let gateway = device.gateway
        gateway.close("posts")
        gateway.close("users")
        try await device.sync()
        #expect(try ids(device, "posts") == [] && ids(device, "users") == [])
        gateway.open("users")
        gateway.next(.download, .holdAnswer(until: {}))
        gateway.next(.download, .holdAnswer(until: {}))
        gateway.next(.download, .holdAnswer(until: { gateway.open("posts") }))
        try await device.sync()
        #expect(try ids(device, "users") == [1, 2])
        #expect(try ids(device, "posts") == [11, 12])
        // And closed again while it is read.
        gateway.close("posts")
        try await device.sync()
        gateway.open("posts")
        gateway.next(.download, .holdAnswer(until: {}))
        gateway.next(.download, .holdAnswer(until: {}))
        gateway.next(.download, .holdAnswer(until: { gateway.close("posts") }))
        try await device.sync()
        #expect(try ids(device, "posts") == [])
        #expect(try ids(device, "users") == [1, 2])
        gateway.open("posts")
        try await device.sync()
        let report = try await device.engine.verify()
        #expect(report.isEqual, "\(report)")
    }

    @Test("A process that ends while an opened table is read goes on from there")
    func killed() async throws {
        let device = try await hydrated { $0.pageLimit = 1 }
        let gateway = device.gateway
        gateway.close("posts")
        try await device.sync()
        gateway.open("posts")
        gateway.next(.download, .holdAnswer(until: {}))
        gateway.next(.download, .holdAnswer(until: {}))
        gateway.next(.download, .holdAnswer(until: {}))
        gateway.next(.download, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.sync() }
        #expect(try ids(device, "posts") == [11])
        gateway.clearFaults()
        try device.reopen()
        let before = gateway.requests.count
        try await device.sync()
        #expect(try ids(device, "posts") == [11, 12])
        #expect(downloads(device, since: before).first?["after"] == "3")
        let report = try await device.engine.verify()
        #expect(report.isEqual, "\(report)")
    }

    @Test("A copy that was reading an opened table gets back the device's own later rows, too")
    func copied() async throws {
        let device = try await hydrated { $0.pageLimit = 1 }
        let gateway = device.gateway
        gateway.close("posts")
        try await device.sync()
        gateway.open("posts")
        gateway.next(.download, .holdAnswer(until: {}))
        gateway.next(.download, .holdAnswer(until: {}))
        gateway.next(.download, .holdAnswer(until: {}))
        gateway.next(.download, .loseRequest)
        await #expect(throws: SyncError.self) { try await device.sync() }
        let copy = try device.copyOfDatabase()
        try await device.sync()
        try device.execute("INSERT INTO users (id, name) VALUES (?, 'later')", [key(7)])
        try await device.sync()
        try device.reopen(from: copy)
        try await device.sync()
        #expect(try ids(device, "users") == [1, 2, 7])
        #expect(try ids(device, "posts") == [11, 12])
        let report = try await device.engine.verify()
        #expect(report.isEqual, "\(report)")
    }

    @Test("A device that was away for long meets closed, opened and deleted rows at once")
    func months() async throws {
        let device = try await hydrated()
        let gateway = device.gateway
        gateway.close("posts")
        try await device.sync()
        gateway.write("posts", key(16), post(16, of: 1, "x"))
        gateway.write("users", key(2), nil)
        gateway.write("posts", key(12), nil)
        gateway.write("users", key(1), payload(1, "newer"))
        gateway.compact()
        gateway.write("users", key(5), payload(5, "u"))
        gateway.open("posts")
        try device.reopen()
        try await device.sync()
        #expect(try ids(device, "users") == [1, 5])
        #expect(try ids(device, "posts") == [11, 16])
        #expect(gateway.uploads.isEmpty)
        let report = try await device.engine.verify()
        #expect(report.isEqual, "\(report)")
    }

    @Test("A server that loses its end while a table is closed gets back what was lost")
    func lostWhileClosed() async throws {
        let device = try await hydrated()
        let gateway = device.gateway
        try device.execute("UPDATE posts SET title = 'sent' WHERE id = ?", [key(11)])
        try await device.sync()
        try device.execute("UPDATE posts SET title = 'mine' WHERE id = ?", [key(11)])
        gateway.close("posts")
        try await device.sync()
        gateway.restore(toSequence: 4)
        try await device.sync()
        #expect(try ids(device, "posts") == [11])
        gateway.open("posts")
        try await device.sync()
        #expect(gateway.rows("posts")[key(11)] == post(11, of: 1, "mine"))
        #expect(try ids(device, "posts") == [11, 12])
        let report = try await device.engine.verify()
        #expect(report.isEqual, "\(report)")
    }
}
