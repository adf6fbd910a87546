import Model
import Postgres

/// PostgreSQL's no to a row, as opposed to trouble of ours.
///
/// A refusal is answered for that row alone and is final for its content (promise P5). Everything else,
/// such as a lock timeout, a lost connection or a missing privilege, fails the request and is repeated.
struct RowRefusal: Sendable {
    /// Raised by `sync.expect_rows`: the key belongs to somebody else's row, or a trigger left the row out.
    static let keyTakenState = SQLState(rawValue: "OV001")
    /// PostgreSQL has no code for it: a BEFORE trigger that returns NULL leaves its row out and says nothing.
    static let leftOutState = SQLState(rawValue: "OV003")

    /// A row that the table did not take although its key is free, or the user's own.
    static let leftOut = RowRefusal(
        sqlState: leftOutState, detail: "a BEFORE trigger of the table left the row out")

    /// Nil for a taken key, which is the sidecar's own judgement.
    let sqlState: SQLState?
    /// For the operator's record; may quote the row. Never for the wire.
    let detail: String

    /// Classes that speak of the server, the session or our own SQL, never of a row's values.
    private static let ourClasses: Set<Substring> = [
        "08", "0A", "25", "26", "28", "2D", "3B", "3D", "3F", "40", "42", "53", "55", "57", "58",
        "72",
        "F0", "XX",
    ]

    /// Where PL/pgSQL's RAISE reports from.
    private static let raiseRoutine = "exec_stmt_raise"
    /// Deadlocks and failed serializations.
    private static let rollbackClass: Substring = "40"

    private init(sqlState: SQLState, detail: String) {
        self.sqlState = sqlState
        self.detail = detail
    }

    init?(_ error: PostgresError) {
        guard let server = error.serverError, server.sqlState != UnseenColumns.state else {
            return nil
        }
        let state = server.sqlState
        detail = server.constraint.map { "\(server.message) (constraint \($0))" } ?? server.message
        if state == Self.keyTakenState {
            sqlState = nil
            return
        }
        // One row may be too slow by itself, in its own table; elsewhere it is our statement that was.
        let isTooSlow =
            state == .queryCanceled && Self.concernsBusinessRows(error.statementName)
        // A table or column that is gone concerns the rows of that table; the caller has looked at the catalog again.
        let isGone =
            [.undefinedTable, .undefinedColumn].contains(state)
            && Self.concernsBusinessRows(error.statementName)
        // A trigger of the team's own may raise any code, and means its row even by one that speaks of the server
        // elsewhere; but what asks for another try gets one.
        let isRaised =
            server.routine == Self.raiseRoutine && state.errorClass != Self.rollbackClass
            && Self.concernsBusinessRows(error.statementName)
        let isRefusal =
            state.isDataTrouble || isTooSlow || isGone || isRaised
            || !Self.ourClasses.contains(state.errorClass)
        guard isRefusal else { return nil }
        sqlState = state
    }

    private static func concernsBusinessRows(_ statement: String?) -> Bool {
        guard let statement else { return false }
        return statement.hasPrefix(MaterializeStatement.namePrefix)
            || statement == UploadStatements.checkConstraints.name
    }

    func outcome(of change: Change, version: RowVersion, in table: TableName) -> ChangeOutcome {
        guard let sqlState else { return .invalid(.keyTaken(table, change.row.key)) }
        return .materializeError(
            version: version,
            message: "\(table) refused the row: SQLSTATE \(sqlState.rawValue) (\(sqlState.meaning))"
        )
    }
}

extension SQLState {
    /// What the code means, in the words of PostgreSQL's manual; by class where the code has none here.
    var meaning: String {
        switch self {
        case .uniqueViolation: "unique violation"
        case .foreignKeyViolation: "foreign key violation"
        case .notNullViolation: "not null violation"
        case .checkViolation: "check violation"
        case .queryCanceled: "statement timeout"
        case .raisedException: "raised by a trigger"
        case RowRefusal.leftOutState: "left out by a trigger"
        default:
            switch errorClass {
            case "22": "data exception"
            case "23": "integrity constraint violation"
            case "44": "with check option violation"
            case "54": "program limit exceeded"
            default: "refused by the database"
            }
        }
    }
}
