import Foundation
import GRDB
import OverSQLite

/// Code of the README.
enum Readme {
    static func quickStart(
        _ database: DatabasePool, gateway: URL, session: Session, show: (Int, String?) -> Void
    ) async throws {
        // begin: readme
        let engine = try SyncEngine(
            for: database,
            tables: [SyncTable("countries"), SyncTable("currencies", keyKind: .text)],
            configuration: SyncConfiguration(gateway: gateway, schema: "business"),
            credentials: { try await session.token() })
        try await engine.start()  // or syncChanges(), sendChanges(), fetchChanges()
        for await status in engine.statusUpdates {
            show(status.pendingCount, status.lastError?.localizedDescription)
        }
        // end
    }
}
