import GRDB
import OverSQLite

// Code of the article "Designing tables".

enum DesigningTables {
    // begin: drop-column
    static func dropLikes(_ migrator: inout DatabaseMigrator) {
        migrator.registerMigration("no more likes") { db in
            try SyncEngine.prepareToDropColumns(of: "posts", in: db)
            try db.alter(table: "posts") { $0.drop(column: "likes") }
        }
    }
    // end
}
