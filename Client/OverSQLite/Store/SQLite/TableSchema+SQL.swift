extension TableSchema {
    var quotedName: String { name.quotedIdentifier }
    var quotedKey: String { key.name.quotedIdentifier }

    /// SQL for the rows of a metadata table that are missing from this table. It qualifies the
    /// metadata table's columns, because the app's table may have columns `key` and `local`.
    func isMissingSQL(from books: String) -> String {
        """
        tbl = \(id) AND NOT EXISTS (
          SELECT 1 FROM \(quotedName) t
          WHERE t.\(quotedKey) IS \(KeyForm.spelledSQL(in: books)))
        """
    }
}
