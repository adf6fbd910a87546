import Model
import Postgres

/// Why PostgreSQL refuses a row, as opposed to trouble of ours.
///
/// A refusal is answered for that row alone and is final for its content (promise P5). Everything
/// else, such as a lock timeout, a lost connection or a missing privilege, fails the request, and
/// the device repeats it.
struct RowRefusal: Sendable {
    /// Raised by `sync.expect_rows`: the key belongs to another user's row, or a trigger left the
    /// row out.
    static let keyTakenState = SQLState(rawValue: "OV001")
    /// A BEFORE trigger that returns NULL leaves its row out without an error, so PostgreSQL has no
    /// code for it.
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

    /// - Parameter isOfBusinessRows: whether the statement that failed writes rows of business
    ///   tables, or checks their constraints.
    init?(_ error: ServerError, isOfBusinessRows: Bool) {
        let state = error.sqlState
        detail = error.constraint.map { "\(error.message) (constraint \($0))" } ?? error.message
        if state == Self.keyTakenState {
            sqlState = nil
            return
        }
        // One row can be too slow by itself in its own table; elsewhere our statement is too slow.
        let isTooSlow = state == .queryCanceled && isOfBusinessRows
        // A missing table or column is about the rows of that table: the caller has read the
        // catalog again by now.
        let isGone = [.undefinedTable, .undefinedColumn].contains(state) && isOfBusinessRows
        // A trigger of the team's may raise any code, and means its row even by a code that speaks
        // of the server elsewhere. A code that asks for another try gets one.
        let isRaised =
            error.routine == Self.raiseRoutine && state.errorClass != Self.rollbackClass
            && isOfBusinessRows
        let isRefusal =
            state.isDataTrouble || isTooSlow || isGone || isRaised
            || !Self.ourClasses.contains(state.errorClass)
        guard isRefusal else { return nil }
        sqlState = state
    }

    func outcome(of change: Change, version: RowVersion, in table: TableName) -> ChangeVerdict {
        guard let sqlState else { return .invalid(.keyTaken(table, change.row.key)) }
        return .materializeError(
            version: version,
            message: "\(table) refused the row: SQLSTATE \(sqlState.rawValue) (\(sqlState.meaning))"
        )
    }
}

extension SQLState {
    /// What the code means, in the words of PostgreSQL's manual: of the code if it is listed here,
    /// else of its class.
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
