import Foundation
import GRDB
import OverSQLite
import OverSQLiteTestSupport
import Testing

// Code of the article "Testing": tests as an app would have them. They run with all others.

// begin: device
struct TestDevice {
    let database: DatabasePool
    let engine: SyncEngine
    let clock = ManualClock()

    init(_ name: String, _ gateway: InMemoryGateway, in folder: URL) throws {
        database = try GettingStarted.openDatabase(at: folder.appending(path: name).path)
        var configuration = SyncConfiguration(
            gateway: URL(filePath: "/"), schema: "business")
        configuration.transport = gateway
        configuration.clock = clock
        engine = try SyncEngine(
            for: database, tables: [SyncTable("authors"), SyncTable("posts")],
            configuration: configuration,
            credentials: { InMemoryGateway.token(device: name) })
    }
}
// end

struct TestingTests {
    private let folder: URL

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    private func withFolder(_ body: () async throws -> Void) async throws {
        defer { try? FileManager.default.removeItem(at: folder) }
        try await body()
    }

    private static let ada = "550e8400-e29b-41d4-a716-446655440000"

    // begin: two-devices
    @Test("a post written offline reaches the other device")
    func reachesOther() async throws {
        try await withFolder {
            let gateway = InMemoryGateway()
            let phone = try TestDevice("phone", gateway, in: folder)
            let laptop = try TestDevice("laptop", gateway, in: folder)
            let post = Post(author_id: Self.ada, title: "Hello")
            try await phone.database.write { db in
                try db.execute(
                    sql: "INSERT INTO authors (id, name) VALUES (?, 'Ada')", arguments: [Self.ada])
                try post.insert(db)
            }
            try await phone.engine.syncChanges()
            try await laptop.engine.syncChanges()
            #expect(try await laptop.database.read { try Post.fetchAll($0) } == [post])
        }
    }
    // end

    // begin: refusal
    @Test("a post that the server refuses is offered for another try")
    func refused() async throws {
        try await withFolder {
            let gateway = InMemoryGateway()
            let phone = try TestDevice("phone", gateway, in: folder)
            gateway.refuse("authors", Self.ada, reason: "bad_payload")
            try await phone.database.write { db in
                try db.execute(
                    sql: "INSERT INTO authors (id, name) VALUES (?, '')", arguments: [Self.ada])
            }
            try await phone.engine.syncChanges()
            let change = try #require(try await phone.engine.rejectedChanges.first)
            #expect(change.reason == "bad_payload")
        }
    }
    // end

    // begin: faults
    @Test("an answer lost on the way writes nothing twice")
    func lostAnswer() async throws {
        try await withFolder {
            let gateway = InMemoryGateway()
            let phone = try TestDevice("phone", gateway, in: folder)
            try await phone.database.write { db in
                try db.execute(
                    sql: "INSERT INTO authors (id, name) VALUES (?, 'Ada')", arguments: [Self.ada])
            }
            gateway.next("upload", .loseAnswer)
            await #expect(throws: SyncError.self) { try await phone.engine.syncChanges() }
            try await phone.engine.syncChanges()
            #expect(gateway.logCount() == 1)
        }
    }
    // end
}
