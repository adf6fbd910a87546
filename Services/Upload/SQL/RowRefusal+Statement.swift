import Postgres

extension RowRefusal {
    /// Tells a refused row from trouble of ours, by the error and the statement that met it.
    ///
    /// - Returns: nil for everything that is not about a row. So is a column that the catalog did
    ///   not have yet: the upload is then read again.
    init?(_ error: PostgresError) {
        guard let server = error.serverError, server.sqlState != UnseenColumns.state else {
            return nil
        }
        self.init(server, isOfBusinessRows: Self.concernsBusinessRows(error.statementName))
    }

    private static func concernsBusinessRows(_ statement: String?) -> Bool {
        guard let statement else { return false }
        return statement.hasPrefix(MaterializeStatement.namePrefix)
            || statement == UploadStatements.checkConstraints.name
    }
}
