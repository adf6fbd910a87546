import GRDB

/// Temporary tables and views with the name of a synced table.
///
/// SQLite looks for a table among the temporary ones first. So on a connection that has one, the
/// library would write the server's rows into it, and take the app's rows for deleted.
struct HiddenTables {
    let db: Database

    /// - Throws: `SyncError.database`, with what to change, if one of these tables is hidden.
    func refuse(_ names: some Sequence<String>) throws {
        let temporary = try String.fetchSet(
            db.cachedStatement(
                sql: """
                    SELECT lower(name) FROM temp.sqlite_master WHERE type IN ('table', 'view')
                    """))
        guard !temporary.isEmpty,
            let name = names.first(where: { temporary.contains($0.lowercased()) })
        else { return }
        throw SyncError.database(
            "a temporary table or view hides the synced table \(name): drop it, or give it another "
                + "name")
    }
}
