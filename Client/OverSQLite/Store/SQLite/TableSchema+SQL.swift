extension TableSchema {
    var quotedName: String { name.quotedIdentifier }
    var quotedKey: String { key.name.quotedIdentifier }

    /// SQL for the rows of a metadata table that were not copied when this table was rebuilt:
    /// they are missing from it, and their last touch is not their deletion. It qualifies the
    /// metadata table's columns, because the app's table may have columns `key` and `local`.
    func isLeftOutSQL(from books: String) -> String {
        """
        tbl = \(id) AND NOT EXISTS (
          SELECT 1 FROM \(quotedName) t
          WHERE t.\(quotedKey) IS \(KeyForm.spelledSQL(in: books)))
          AND \(KeyForm.spelledSQL(in: books)) NOT IN (\(TouchLog.deletedSQL(in: self)))
        """
    }
}
