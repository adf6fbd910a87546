import OverSQLite

/// The demonstration's users and posts, as the soak uses them.
enum SoakTables {
    static let schema = "business"
    static let synced = [SyncTable("users"), SyncTable("posts")]
    static let deviceSchema = """
        CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL);
        CREATE TABLE IF NOT EXISTS posts (
            id TEXT PRIMARY KEY NOT NULL,
            author_id TEXT NOT NULL REFERENCES users (id),
            title TEXT NOT NULL
        );
        CREATE INDEX IF NOT EXISTS posts_author ON posts (author_id);
        """

    private static let sharedRows = 8

    /// The keys of the rows of `users` that all devices of a user edit.
    ///
    /// - Parameter number: the user's, from 0 to 9.
    static func sharedKeys(ofUser number: Int) -> [String] {
        (0..<sharedRows).map { "00000000-0000-4000-8000-0000000000\(number)\($0)" }
    }

    /// Each row as its table and key, and its text.
    static let deviceRows = """
        SELECT 'users ' || id, name FROM users
        UNION ALL SELECT 'posts ' || id, author_id || ' ' || title FROM posts
        """
}
