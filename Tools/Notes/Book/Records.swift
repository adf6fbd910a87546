import Foundation
import GRDB

/// A note.
struct Note: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "notes"

    let id: String
    var title: String
    var body = ""
}

/// A task that belongs to a note.
struct NoteTask: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "tasks"

    let id: String
    let note_id: String
    var text: String
    var done = false
}

/// A field that two people changed at once: the other's value stands, one's own is kept here.
struct FieldConflict: Codable, Hashable, Sendable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "conflicts"
    /// A newer conflict of the same field takes the older one's place.
    static let persistenceConflictPolicy = PersistenceConflictPolicy(insert: .replace)

    /// The row's.
    let id: String
    let field: String
    let here: String
    let there: String
}

/// A new row's id.
func newID() -> String { UUID().uuidString.lowercased() }
