import Postgres

extension RowRefusal {
    /// Tells a row that PostgreSQL does not take from trouble of the server's, by the error and the
    /// statement that met it.
    ///
    /// - Parameter isAttempt: whether the statement had the short time of an attempt at few rows.
    /// - Returns: nil for everything that is not about a row. Also nil for a column that the
    ///   catalog did not have yet: the upload is then read again.
    init?(_ error: PostgresError, isAttempt: Bool = false) {
        guard let server = error.serverError, server.sqlState != UnseenColumns.state else {
            return nil
        }
        let isOfBusiness = Self.concernsBusinessRows(error.statementName)
        self.init(server, from: isOfBusiness ? .business : isAttempt ? .attempt : .sidecar)
    }

    private static func concernsBusinessRows(_ statement: String?) -> Bool {
        guard let statement else { return false }
        return statement.hasPrefix(MaterializeStatement.namePrefix)
            || statement.hasPrefix(ParkStatement.namePrefix)
            || statement == UploadStatements.checkConstraints.name
    }
}

extension PostgresError {
    /// The session ended while PostgreSQL was at a statement of ours.
    var endsSession: Bool { kind == .connectionLost && statementName != nil }
}
