import GRDBSQLite
import OperatorKit

/// A SQLite file driven through the C interface alone: the floor of what a device can do.
final class BareSQLite {
    /// The device's table in the benchmark.
    static let schema = """
        CREATE TABLE posts (
            id TEXT PRIMARY KEY NOT NULL, author_id TEXT NOT NULL, title TEXT NOT NULL,
            content TEXT NOT NULL
        )
        """
    private static let upsert = """
        INSERT INTO posts (id, author_id, title, content) VALUES (?, ?, ?, ?)
        ON CONFLICT (id) DO UPDATE SET author_id = excluded.author_id, title = excluded.title,
            content = excluded.content
        """
    /// SQLite copies what is bound so.
    private static let copied = unsafeBitCast(-1, to: sqlite3_destructor_type.self)

    private let handle: OpaquePointer

    /// Opens or makes the file, set up as GRDB's pool sets its own up.
    init(_ path: String) throws {
        var handle: OpaquePointer?
        guard sqlite3_open(path, &handle) == SQLITE_OK, let handle else {
            throw StackError("\(path) cannot be opened")
        }
        self.handle = handle
        for pragma in ["journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"] {
            try execute("PRAGMA \(pragma)")
        }
    }

    deinit { sqlite3_close_v2(handle) }

    func execute(_ sql: String) throws {
        guard sqlite3_exec(handle, sql, nil, nil, nil) == SQLITE_OK else {
            throw StackError("\(sql): \(String(cString: sqlite3_errmsg(handle)))")
        }
    }

    /// Writes posts in one transaction, by one prepared upsert.
    func write(_ posts: [DevicePost]) throws {
        var statement: OpaquePointer?
        guard sqlite3_prepare_v2(handle, Self.upsert, -1, &statement, nil) == SQLITE_OK else {
            throw StackError(String(cString: sqlite3_errmsg(handle)))
        }
        defer { sqlite3_finalize(statement) }
        try execute("BEGIN IMMEDIATE")
        for post in posts {
            for (index, text) in [post.id, post.author, LoadText.title, LoadText.content]
                .enumerated()
            {
                sqlite3_bind_text(statement, Int32(index + 1), text, -1, Self.copied)
            }
            guard sqlite3_step(statement) == SQLITE_DONE else {
                throw StackError(String(cString: sqlite3_errmsg(handle)))
            }
            sqlite3_reset(statement)
        }
        try execute("COMMIT")
    }

    func count() throws -> Int {
        var statement: OpaquePointer?
        guard
            sqlite3_prepare_v2(handle, "SELECT count(*) FROM posts", -1, &statement, nil)
                == SQLITE_OK,
            sqlite3_step(statement) == SQLITE_ROW
        else { throw StackError(String(cString: sqlite3_errmsg(handle))) }
        defer { sqlite3_finalize(statement) }
        return Int(sqlite3_column_int64(statement, 0))
    }
}

/// One row of the device's table.
struct DevicePost: Sendable {
    let id: String
    let author: String

    private static let rowsPerAuthor = 10

    /// Posts number `first` and those after it.
    static func some(_ count: Int, from first: Int = 0) -> [DevicePost] {
        let keys = LoadKeys(seed: 0x6f76_6572_7379_6e63)
        return (first..<first + count).map { row in
            DevicePost(id: keys.text(row), author: keys.text(-1 - row / rowsPerAuthor))
        }
    }

    /// The post as a page of the feed has it.
    func change(sequence: Int) -> String {
        #"{"server_id":\#(sequence),"schema":"business","table":"posts","op":"INSERT","pk":"\#(id)","#
            + #""payload":{"id":"\#(id)","author_id":"\#(author)","title":"\#(LoadText.title)","#
            + #""content":"\#(LoadText.content)"},"server_version":1,"deleted":false,"#
            + #""source_id":"another","source_change_id":\#(sequence),"ts":"2026-01-01T00:00:00Z"}"#
    }
}

extension LoadKeys {
    func text(_ row: Int) -> String {
        var bytes = [UInt8](repeating: 0, count: 36)
        bytes.withUnsafeMutableBytes { write(row, at: 0, $0) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
