import GRDB

/// The mark by which the triggers recognize the library's own writes.
struct ApplyMode {
    let db: Database

    /// Runs `body` with the mark set. The mark is part of the transaction and is rolled back with
    /// it.
    func during<Value>(_ body: () throws -> Value) throws -> Value {
        try db.cachedStatement(sql: "INSERT INTO _sync_applying (mode) VALUES (1)").execute()
        let value = try body()
        try db.cachedStatement(sql: "DELETE FROM _sync_applying").execute()
        return value
    }

    /// Removes a stale mark. Outside a transaction there must be none.
    func removeStrayMark() throws { try db.execute(sql: "DELETE FROM _sync_applying") }
}
