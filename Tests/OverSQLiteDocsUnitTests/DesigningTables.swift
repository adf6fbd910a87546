import Foundation
import GRDB
import OverSQLite

// Code of the article "Designing tables".

// begin: record
struct Visit: Codable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "visits"

    var id: UUID
    var at: Date

    static func databaseUUIDEncodingStrategy(for column: String) -> DatabaseUUIDEncodingStrategy {
        .lowercaseString
    }

    static func databaseDateEncodingStrategy(for column: String) -> DatabaseDateEncodingStrategy {
        .iso8601
    }

    static let byTime = order(julianDay(Column("at")))
}
// end

enum DesigningTables {
    // begin: drop-column
    static func dropLikes(_ migrator: inout DatabaseMigrator) {
        migrator.registerMigration("no more likes") { db in
            try SyncEngine.prepareToDropColumns(of: "posts", in: db)
            try db.alter(table: "posts") { $0.drop(column: "likes") }
        }
    }
    // end

    // begin: local-migration
    static func trimTitles(_ migrator: inout DatabaseMigrator) {
        migrator.registerMigration("trimmed titles") { db in
            try SyncEngine.withLocalMigration(in: db) {
                try db.execute(sql: "UPDATE posts SET title = trim(title)")
            }
        }
    }
    // end

    // begin: local-columns
    static let files = SyncTable("files", localColumns: ["local_path", "scroll"])
    // end
}
