import GRDB
import SeededRandom

/// A working day of an app: edits of its tables, and exchanges in between. The same seed, the same day.
package struct DeviceScript: Sendable {
    package typealias Step = WorkingDay.Step

    package static let schema = """
        CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, age INTEGER);
        CREATE TABLE posts (
          id TEXT PRIMARY KEY NOT NULL, user_id TEXT REFERENCES users (id) ON DELETE CASCADE,
          title TEXT);
        """

    /// Users that are never deleted, whose age is another device's to write.
    package static let sharedUsers = 1...4
    private static let ownUsers = 5...8
    private static let posts = 101...106

    package let steps: [Step]

    package init(seed: UInt64, steps count: Int) {
        var random = SeededGenerator(seed: seed)
        steps = (1...count).map { Self.step($0, &random) }
    }

    package var day: WorkingDay {
        WorkingDay(
            schema: Self.schema, tables: ["users", "posts"], steps: steps, rows: Self.rows,
            storedRows: Self.rows, others: Self.ages)
    }

    /// The rows as lines of text, ages of shared users left out, since they are not the script's.
    package static func rows(_ db: Database) throws -> [String] {
        try String.fetchAll(
            db,
            sql: """
                SELECT 'users ' || id || ' ' || coalesce(name, '-') FROM users UNION ALL
                SELECT 'posts ' || id || ' ' || user_id || ' ' || coalesce(title, '-') FROM posts
                ORDER BY 1
                """)
    }

    /// What another device gave to shared users.
    private static func ages(_ db: Database) throws -> [String] {
        try String.fetchAll(
            db,
            sql: "SELECT 'age ' || id || ' ' || age FROM users WHERE age IS NOT NULL ORDER BY 1")
    }

    /// The same number, the same key.
    package static func key(_ number: Int) -> String {
        let digits = String(number)
        return "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - digits.count)
            + digits
    }

    private static func step(_ number: Int, _ random: inout SeededGenerator) -> Step {
        let word = "s\(number)"
        let user = key(Int.random(in: 1...8, using: &random))
        let own = key(Int.random(in: ownUsers, using: &random))
        let post = key(Int.random(in: posts, using: &random))
        let other = key(Int.random(in: posts, using: &random))
        switch Int.random(in: 0..<15, using: &random) {
        case 0, 1, 2:
            return .edit(
                """
                INSERT INTO users (id, name) VALUES ('\(user)', '\(word)')
                ON CONFLICT (id) DO UPDATE SET name = excluded.name
                """)
        case 3, 4: return .edit("UPDATE users SET name = '\(word)' WHERE id <= '\(user)'")
        case 5: return .edit("DELETE FROM users WHERE id = '\(own)'")
        case 6:
            return .edit("INSERT OR REPLACE INTO users (id, name) VALUES ('\(own)', '\(word)')")
        case 7, 8:
            return .edit(
                """
                INSERT OR REPLACE INTO posts (id, user_id, title)
                SELECT '\(post)', id, '\(word)' FROM users WHERE id = '\(user)'
                """)
        case 9: return .edit("UPDATE posts SET title = '\(word)' WHERE user_id = '\(user)'")
        case 10: return .edit("UPDATE OR REPLACE posts SET id = '\(other)' WHERE id = '\(post)'")
        case 11: return .edit("DELETE FROM posts WHERE id = '\(post)'")
        case 12: return .fetch
        case 13: return .send
        default: return .sync
        }
    }
}
