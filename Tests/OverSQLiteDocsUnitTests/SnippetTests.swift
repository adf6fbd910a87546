import Foundation
import GRDB
import OverSQLite
import OverSQLiteTestSupport
import Testing

/// The articles' code does what the articles say.
struct SnippetTests {
    private static let ada = "550e8400-e29b-41d4-a716-446655440000"

    /// A device with the articles' tables, in a file, as an app has it.
    private struct Device {
        let database: DatabasePool
        let engine: SyncEngine
    }

    private func withDevice(
        _ body: (Device, InMemoryGateway) async throws -> Void
    ) async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let gateway = InMemoryGateway()
        let database = try GettingStarted.openDatabase(at: folder.appending(path: "phone").path)
        var configuration = SyncConfiguration(gateway: folder, schema: "business")
        configuration.transport = gateway
        configuration.clock = ManualClock()
        let engine = try SyncEngine(
            for: database, tables: [SyncTable("authors"), SyncTable("posts")],
            configuration: configuration,
            credentials: { InMemoryGateway.token(device: "phone") })
        try await body(Device(database: database, engine: engine), gateway)
    }

    @Test("posts are written, imported, counted while unsent, and confirmed")
    func gettingStarted() async throws {
        try await withDevice { device, gateway in
            let (database, engine) = (device.database, device.engine)
            try await database.write { db in
                try db.execute(
                    sql: "INSERT INTO authors (id, name) VALUES (?, 'Ada')", arguments: [Self.ada])
            }
            try await GettingStarted.write(database, author: Self.ada)
            try await GettingStarted.importPosts(
                [Post(author_id: Self.ada, title: "Imported")], into: database, engine)
            #expect(await GettingStarted.label(engine) == "Not synced yet")
            #expect(
                try await Set(GettingStarted.unsentTitles(database)) == ["Hello", "Imported"])
            try await GettingStarted.openApp(engine)
            try await GettingStarted.publish(
                Post(author_id: Self.ada, title: "Published"), with: engine)
            await engine.stop()
            #expect(gateway.rows("posts").count == 3)
            #expect(try await GettingStarted.unsentTitles(database).isEmpty)
        }
    }

    @Test("an app signs its user in, and calls everything sent after the first exchange")
    func signedIn() async throws {
        try await withDevice { device, _ in
            try await GettingStarted.signIn("user", to: device.engine)
            try await device.engine.waitForFirstSync()
            await device.engine.stop()
            #expect(try await device.engine.userID == "user")
            #expect(await GettingStarted.label(device.engine) == "Everything is sent")
        }
    }

    @Test("a development token is asked for with the name that the database was given")
    func developmentToken() async throws {
        try await withDevice { device, gateway in
            gateway.next(.any, .answerInstead(status: 200, #"{"token":"t","expires_in":900}"#))
            let token = try await GettingStarted.developmentToken(
                for: "ada", to: device.engine, gateway: URL(filePath: "/"), over: gateway)
            #expect(token == "t")
            let request = try #require(gateway.requests.last)
            #expect(request.path == "/dev/sign-in")
            let name = try await device.engine.deviceID
            #expect(request.body.contains(#""device":"\#(name)""#), "\(request.body)")
        }
    }

    @Test("rejected changes are retried or discarded, and signing out asks about the rest")
    func settled() async throws {
        try await withDevice { device, gateway in
            try await device.database.write { db in
                try db.execute(
                    sql: "INSERT INTO authors (id, name) VALUES (?, 'Ada')", arguments: [Self.ada])
            }
            gateway.refuse("authors", Self.ada, reason: "bad_payload")
            try await GettingStarted.byHand(device.engine)
            try await GettingStarted.signOut(device.engine, confirmLoss: { _ in true })
            #expect(try await device.engine.rejectedChanges.isEmpty)
            try await device.database.write { db in
                try db.execute(
                    sql: "INSERT INTO authors (id, name) VALUES (?, 'Ada')", arguments: [Self.ada])
            }
            try await GettingStarted.byHand(device.engine)
            try await GettingStarted.settleRejected(device.engine) { $0 == "fk_missing" }
            #expect(device.engine.status.rejectedCount == 0)
        }
    }

    @Test("the resolver of counters adds what both sides have counted")
    func counters() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let database = try DatabasePool(path: folder.appending(path: "counters").path)
        try await database.write { db in
            try db.execute(
                sql:
                    "CREATE TABLE counters (id TEXT PRIMARY KEY NOT NULL, name TEXT, value INTEGER)"
            )
            try db.execute(
                sql: "INSERT INTO counters VALUES (?, 'a', 10)", arguments: [Self.ada])
        }
        let gateway = InMemoryGateway()
        var configuration = SyncConfiguration(gateway: folder, schema: "business")
        configuration.transport = gateway
        let engine = try SyncEngine(
            for: database, tables: [Conflicts.counters], configuration: configuration,
            credentials: { InMemoryGateway.token(device: "phone") })
        try await engine.syncChanges()
        gateway.write("counters", Self.ada, #"{"id":"\#(Self.ada)","name":"b","value":15}"#)
        try await database.write { try $0.execute(sql: "UPDATE counters SET value = 12") }
        try await engine.syncChanges()
        #expect(
            gateway.rows("counters") == [Self.ada: #"{"id":"\#(Self.ada)","name":"b","value":17}"#])
    }

    @Test("a synced column is dropped once its table is made ready, and not before")
    func dropped() async throws {
        try await withDevice { device, _ in
            await #expect(throws: DatabaseError.self) {
                try await device.database.write { db in
                    try db.alter(table: "posts") { $0.drop(column: "likes") }
                }
            }
            var migrator = DatabaseMigrator()
            DesigningTables.dropLikes(&migrator)
            try migrator.migrate(device.database)
            let columns = try await device.database.read { db in
                try db.columns(in: "posts").map(\.name)
            }
            #expect(columns == ["id", "author_id", "title"])
        }
    }

    @Test("every table of the articles can be named to an engine")
    func tables() {
        #expect(Conflicts.tables.map(\.name) == ["posts", "prices", "drafts"])
        #expect(Conflicts.keyed.map(\.keyColumn) == [nil, nil, nil, "sync_id", nil])
    }

    /// What only the main actor may touch, as an app's view model.
    @MainActor private final class Screen {
        private(set) var lines: [String] = []

        func show(_ line: String) { lines.append(line) }
    }

    @MainActor @Test("a test on the main actor has its devices there")
    func mainActor() async throws {
        let screen = Screen()
        try await withNotes(InMemoryGateway()) { devices in
            let phone = try devices.add("phone")
            screen.show(phone.name)
        }
        try await withTestDevices(
            InMemoryGateway(), tables: NotesDatabase.tables,
            migrate: { try NotesDatabase.migrator.migrate($0) }
        ) { devices in
            let laptop = try devices.add("laptop")
            screen.show(laptop.name)
        }
        #expect(screen.lines == ["phone", "laptop"])
    }

    // MARK: Doc comments of the test support

    @Test("a scope makes devices, whose changes reach the gateway")
    func scope() async throws {
        // begin: comment-scope
        try await withTestDevices(
            InMemoryGateway(), tables: NotesDatabase.tables,
            migrate: { try NotesDatabase.migrator.migrate($0) }
        ) { devices in
            let phone = try devices.add("phone")
            try await phone.database.write { try Note(text: "milk").insert($0) }
            try await phone.engine.syncChanges()
        }
        // end
    }

    @Test("a fault for the next request comes before the one for all, and both are there until met")
    func plans() {
        // begin: comment-faults
        let network = FaultyTransport(InMemoryGateway())
        network.next(.upload, .loseAnswer)
        network.always(.any, .captivePortal)
        // end
        #expect(network.unusedPlans.count == 2)
    }
}
