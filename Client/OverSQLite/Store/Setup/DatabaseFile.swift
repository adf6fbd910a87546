import Foundation
import GRDB

/// Where a database is: its path, and the file's number in the file system.
///
/// A file that is moved keeps its number, and one that is restored from a backup in its place keeps
/// its path. A copy has another path and another number.
struct DatabaseFile: Hashable {
    let number: UInt64
    let path: String

    /// nil for a database in memory.
    init?(of db: Database) throws {
        let file = try String.fetchOne(
            db, sql: "SELECT file FROM pragma_database_list WHERE name = 'main'")
        guard let file, !file.isEmpty else { return nil }
        let path = URL(fileURLWithPath: file).resolvingSymlinksInPath().path
        guard
            let found = try? FileManager.default.attributesOfItem(atPath: path),
            let number = (found[.systemFileNumber] as? NSNumber)?.uint64Value
        else { return nil }
        self.path = path
        self.number = number
    }

    /// - Parameter text: what ``text`` has returned.
    init?(_ text: String) {
        let parts = text.split(separator: " ", maxSplits: 1)
        guard parts.count == 2, let number = UInt64(parts[0]) else { return nil }
        self.number = number
        path = String(parts[1])
    }

    /// The form in which it is stored.
    var text: String { "\(number) \(path)" }

    func isCopy(of other: DatabaseFile) -> Bool { number != other.number && path != other.path }
}
