import Foundation
import GRDB
import OverSQLite

struct Currency: Codable, PersistableRecord {
    static let databaseTableName = "currencies"

    var code: String
    var name: String
}

/// Code of the README.
enum Readme {
    static func quickStart(
        _ database: DatabasePool, _ currency: Currency, gateway: URL, session: Session,
        show: (Int, String?) -> Void
    ) async throws {
        // begin: readme
        let engine = try SyncEngine(
            for: database,
            // Keys are UUIDs, unless you say otherwise.
            tables: [SyncTable("countries"), SyncTable("currencies", keyKind: .text)],
            // The schema of the tables in PostgreSQL.
            configuration: SyncConfiguration(gateway: gateway, schema: "business"),
            credentials: { try await session.token() })  // a JSON Web Token
        try await engine.start()  // or syncChanges(), sendChanges(), fetchChanges()
        let write = try await engine.write { db in try currency.insert(db) }
        try await write.confirmed()  // the server has it; throws what was rejected, and why
        for await status in engine.statusUpdates {
            show(status.pendingCount, status.lastError?.localizedDescription)
        }
        // end
    }
}
