import GRDB
import GRDBSQLite

/// A statement that is run through SQLite's C interface, where pages of rows need speed.
///
/// GRDB does not see these writes: the caller reports them with `Database.notifyChanges(in:)`.
struct RawStatement {
    /// Keeps the compiled statement alive.
    private let statement: Statement
    let handle: OpaquePointer

    init(_ db: Database, _ sql: String) throws {
        statement = try db.cachedStatement(sql: sql)
        handle = statement.sqliteStatement
    }

    /// Binds without copying; `bytes` must stay valid until the statement has run.
    func bind(text bytes: UnsafeBufferPointer<UInt8>, at index: Int32) {
        // An empty slice has no base address, and SQLite reads a null pointer as NULL.
        guard let base = bytes.baseAddress, !bytes.isEmpty else { return bind(text: "", at: index) }
        _ = base.withMemoryRebound(to: CChar.self, capacity: bytes.count) {
            sqlite3_bind_text(handle, index, $0, Int32(bytes.count), nil)
        }
    }

    func bind(text: String, at index: Int32) {
        // A literal, because the buffer of an empty string may have no address.
        if text.isEmpty { _ = sqlite3_bind_text(handle, index, "", 0, Self.copied) }
        var text = text
        text.withUTF8 { bytes in
            guard let base = bytes.baseAddress, !bytes.isEmpty else { return }
            _ = base.withMemoryRebound(to: CChar.self, capacity: bytes.count) {
                sqlite3_bind_text(handle, index, $0, Int32(bytes.count), Self.copied)
            }
        }
    }

    func bind(integer: Int64, at index: Int32) { sqlite3_bind_int64(handle, index, integer) }
    func bind(real: Double, at index: Int32) { sqlite3_bind_double(handle, index, real) }
    func bindNull(at index: Int32) { sqlite3_bind_null(handle, index) }

    func bind(blob: [UInt8], at index: Int32) {
        if blob.isEmpty {
            sqlite3_bind_zeroblob(handle, index, 0)
        } else {
            _ = blob.withUnsafeBytes {
                sqlite3_bind_blob(handle, index, $0.baseAddress, Int32($0.count), Self.copied)
            }
        }
    }

    func bind(_ value: DatabaseValue, at index: Int32) {
        switch value.storage {
        case .null: bindNull(at: index)
        case .int64(let number): bind(integer: number, at: index)
        case .double(let number): bind(real: number, at: index)
        case .string(let text): bind(text: text, at: index)
        case .blob(let data): bind(blob: Array(data), at: index)
        }
    }

    /// Runs a statement that returns no row, and resets it for the next run.
    ///
    /// - Throws: the database's error. SQLite has then undone this statement and nothing else.
    func run(_ db: Database) throws {
        let code = sqlite3_step(handle)
        // The message belongs to the step, so it is read before the reset.
        let message = code == SQLITE_DONE || code == SQLITE_ROW ? nil : db.lastErrorMessage
        let extended = sqlite3_extended_errcode(db.sqliteConnection)
        sqlite3_reset(handle)
        if code != SQLITE_DONE, code != SQLITE_ROW {
            let error = DatabaseError(resultCode: ResultCode(rawValue: extended), message: message)
            if error.isOfTheRow { try db.expectTransaction(after: message) }
            throw error
        }
    }

    /// Runs a query and passes its first row, if any, to `read`.
    func first<Value>(_ db: Database, _ read: (OpaquePointer) throws -> Value) throws -> Value? {
        defer { sqlite3_reset(handle) }
        switch sqlite3_step(handle) {
        case SQLITE_ROW: return try read(handle)
        case SQLITE_DONE: return nil
        default:
            throw DatabaseError(
                resultCode: ResultCode(rawValue: sqlite3_extended_errcode(db.sqliteConnection)),
                message: db.lastErrorMessage)
        }
    }

    /// Releases the bound values before their bytes become invalid.
    func clear() { sqlite3_clear_bindings(handle) }

    /// Makes SQLite copy a bound value (SQLITE_TRANSIENT, a C macro that Swift cannot import).
    private static var copied: sqlite3_destructor_type {
        unsafeBitCast(-1, to: sqlite3_destructor_type.self)
    }
}
