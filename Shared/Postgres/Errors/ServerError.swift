import CLibPQ

/// An error as the server reported it.
package struct ServerError: Sendable, Hashable {
    package let sqlState: SQLState
    package let severity: String
    /// The server's sentence. Private: it may quote values of rows. Never log or return it as is.
    package let message: String
    package let schema: String?
    package let table: String?
    package let column: String?
    package let constraint: String?
    /// The function of the server's source that reported it; the same in every language.
    package let routine: String?

    package init(
        sqlState: SQLState, severity: String = "ERROR", message: String = "",
        schema: String? = nil, table: String? = nil, column: String? = nil,
        constraint: String? = nil, routine: String? = nil
    ) {
        self.sqlState = sqlState
        self.severity = severity
        self.message = message
        self.schema = schema
        self.table = table
        self.column = column
        self.constraint = constraint
        self.routine = routine
    }

    /// Where PL/pgSQL's RAISE reports from: a trigger may raise any code.
    package static let raiseRoutine = "exec_stmt_raise"

    /// The plan that this connection had prepared no longer fits the tables, or is gone. Preparing
    /// the statement again helps, which the connection arranges for the next use.
    package var isStalePlan: Bool {
        sqlState == .invalidStatementName && routine != Self.raiseRoutine
            || (sqlState == .featureNotSupported && routine == "RevalidateCachedQuery")
    }

    /// Reads the error fields of a failed result; nil when it carries no SQLSTATE, as happens
    /// for errors that libpq makes itself.
    init?(result: OpaquePointer) {
        func field(_ code: Character) -> String? {
            guard let ascii = code.asciiValue,
                let text = PQresultErrorField(result, Int32(ascii))
            else { return nil }
            return String(cString: text)
        }
        // The codes are those of the protocol's ErrorResponse fields.
        guard let state = field("C") else { return nil }
        self.init(
            sqlState: SQLState(rawValue: state), severity: field("V") ?? field("S") ?? "ERROR",
            message: field("M") ?? "", schema: field("s"), table: field("t"),
            column: field("c"), constraint: field("n"), routine: field("R"))
    }
}
