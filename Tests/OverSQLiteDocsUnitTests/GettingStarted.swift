import Foundation
import GRDB
import OverSQLite
import OverSQLiteAsyncHTTP

// Code of the article "Getting started". The blocks between `begin` and `end` stand in the article.

// begin: records
struct Post: Codable, Equatable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "posts"

    var id = UUID().uuidString.lowercased()
    var author_id: String
    var title: String
    var likes = 0
}
// end

/// What an app has for its user's sign-in.
struct Session: Sendable {
    let fetchToken: @Sendable () async throws -> String

    func token() async throws -> String { try await fetchToken() }
}

enum GettingStarted {
    // begin: migrate
    static func openDatabase(at path: String) throws -> DatabasePool {
        let database = try DatabasePool(path: path)
        var migrator = DatabaseMigrator()
        migrator.registerMigration("posts") { db in
            try db.create(table: "authors") { table in
                table.primaryKey("id", .text)
                table.column("name", .text).notNull()
            }
            try db.create(table: "posts") { table in
                table.primaryKey("id", .text)
                table.column("author_id", .text).notNull().indexed()
                    .references("authors", onDelete: .cascade)
                table.column("title", .text).notNull()
                table.column("likes", .integer).notNull().defaults(to: 0)
            }
        }
        try migrator.migrate(database)
        return database
    }
    // end

    // begin: engine
    static func makeEngine(
        for database: DatabasePool, gateway: URL, session: Session
    ) throws -> SyncEngine {
        try SyncEngine(
            for: database,
            tables: [SyncTable("authors"), SyncTable("posts")],
            configuration: SyncConfiguration(gateway: gateway, schema: "business"),
            credentials: { try await session.token() })
    }
    // end

    // begin: development
    static func developmentConfiguration(
        gateway: URL, authority: String
    ) throws -> SyncConfiguration {
        var configuration = SyncConfiguration(gateway: gateway, schema: "business")
        configuration.transport = try AsyncHTTPTransport(trusting: authority)
        return configuration
    }
    // end

    // begin: development-token
    static func developmentToken(
        for user: String, to engine: SyncEngine, gateway: URL, over transport: any HTTPTransport
    ) async throws -> String {
        struct Answer: Decodable { let token: String }
        let device = try await engine.deviceID
        let request = TransportRequest(
            method: "POST", url: gateway.appending(path: "dev/sign-in"),
            headers: ["Content-Type": "application/json"],
            body: try Array(JSONEncoder().encode(["user": user, "device": device])))
        let response = try await transport.send(request)
        return try JSONDecoder().decode(Answer.self, from: Data(response.body)).token
    }
    // end

    // begin: sign-in
    static func signIn(_ user: String, to engine: SyncEngine) async throws {
        try await engine.signIn(as: user, localData: .merge)
        try await engine.start()
    }
    // end

    static func background(_ engine: SyncEngine) async throws {
        // begin: start
        try await engine.start()
        // end
    }

    static func byHand(_ engine: SyncEngine) async throws {
        // begin: by-hand
        try await engine.syncChanges()  // or sendChanges(), or fetchChanges()
        // end
    }

    static func write(_ database: DatabasePool, author: String) async throws {
        // begin: write
        try await database.write { db in
            try Post(author_id: author, title: "Hello").insert(db)
        }
        // end
    }

    // begin: confirmed
    static func publish(_ post: Post, with engine: SyncEngine) async throws {
        let write = try await engine.write { db in try post.insert(db) }
        try await write.confirmed()
    }
    // end

    // begin: status
    static func follow(_ engine: SyncEngine, show: (String) -> Void) async {
        for await status in engine.statusUpdates {
            if let error = status.lastError {
                show(error.localizedDescription)
            } else if let progress = status.progress, progress.isFirstSync {
                show("\(Int(progress.fraction * 100)) %")
            } else if !status.hasFinishedFirstSync {
                show("Not synced yet")
            } else if status.pendingCount > 0 {
                show("\(status.pendingCount) changes to send")
            } else {
                show("Everything is synced")
            }
        }
    }
    // end

    // begin: observable
    @MainActor static func label(_ engine: SyncEngine) -> String {
        let sync = engine.observableStatus
        guard sync.hasFinishedFirstSync else { return "Not synced yet" }
        return sync.pendingCount == 0 ? "Everything is sent" : "\(sync.pendingCount) to send"
    }
    // end

    // begin: first-sync
    static func openApp(_ engine: SyncEngine) async throws {
        try await engine.start()
        try await engine.waitForFirstSync()
    }
    // end

    // begin: rejected
    static func settleRejected(_ engine: SyncEngine, isWorthRetrying: (String) -> Bool)
        async throws
    {
        for change in try await engine.rejectedChanges {
            if isWorthRetrying(change.reason) {
                try await engine.retry(change)
            } else {
                try await engine.discard(change)
            }
        }
    }
    // end

    // begin: sign-out
    static func signOut(_ engine: SyncEngine, confirmLoss: (Int) -> Bool) async throws {
        do {
            try await engine.signOut()
        } catch SyncError.pendingChanges(let count, _) where confirmLoss(count) {
            try await engine.signOut(force: true)
        }
    }
    // end

    // begin: import
    static func importPosts(_ posts: [Post], into database: DatabasePool, _ engine: SyncEngine)
        async throws
    {
        try await engine.withSyncPaused {
            try await database.write { db in
                for post in posts { try post.insert(db) }
            }
        }
    }
    // end

    // begin: row-status
    static func unsentTitles(_ database: DatabasePool) async throws -> [String] {
        try await database.read { db in
            try String.fetchAll(
                db,
                sql: """
                    SELECT p.title FROM posts p
                    JOIN sync_row_status s ON s.table_name = 'posts' AND s.key = p.id
                    WHERE s.state <> 'synced'
                    """)
        }
    }
    // end
}
