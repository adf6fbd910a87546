import GRDB

/// The mark that keeps the triggers from taking the library's own writes for the app's.
struct ApplyMode {
    let db: Database

    /// Runs `body` with the mark set. It is part of the transaction: if that fails, the mark goes
    /// with it.
    func during<Value>(_ body: () throws -> Value) throws -> Value {
        try db.cachedStatement(sql: "INSERT INTO _sync_applying (mode) VALUES (1)").execute()
        let value = try body()
        try db.cachedStatement(sql: "DELETE FROM _sync_applying").execute()
        return value
    }

    /// Removes a mark from outside of any transaction, which could only be a stray one.
    func removeStrayMark() throws { try db.execute(sql: "DELETE FROM _sync_applying") }
}
