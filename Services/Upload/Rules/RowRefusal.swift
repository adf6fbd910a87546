import Model
import Postgres
import Sidecar

/// Why PostgreSQL does not take a row, as opposed to trouble of the server's.
///
/// A row is refused for its content, or because its table takes no rows at all (promise P5), or it
/// is postponed: it may be taken later as it is. Each is answered for the row alone. Trouble of the
/// server's, such as a lost connection or a full disk, fails the request, and the device repeats
/// that.
struct RowRefusal: Sendable {
    /// Raised by `sync.expect_rows`: the key belongs to another user's row, or a trigger left the
    /// row out.
    static let keyTakenState = SQLState(rawValue: "OV001")
    /// A BEFORE trigger that returns NULL leaves its row out without an error, so PostgreSQL has no
    /// code for it.
    static let leftOutState = SQLState(rawValue: "OV003")

    /// A policy that hides rows from an update or a delete does so without an error, too.
    static let hiddenState = SQLState(rawValue: "OV004")
    /// PostgreSQL's session ends with the statement that writes the row: nobody raises a code.
    static let endsSessionState = SQLState(rawValue: "OV007")
    /// Raised where policies have to decide and do not apply (`HidingPolicies`).
    static let policiesOffState = SQLState(rawValue: "OV005")

    /// A row of a table with policies that the statement has not reached, although it is there and
    /// the user's own, or has not stored.
    static let hidden = RowRefusal(
        sqlState: hiddenState,
        detail: "a row-level security policy of the table hides the row, or a trigger left it out")

    /// A row that the table did not take although its key is free, or the user's own.
    static let leftOut = RowRefusal(
        sqlState: leftOutState, detail: "a BEFORE trigger of the table left the row out")

    /// A table that was dropped. A view that has taken its name may take rows, but not what
    /// payloads say: its columns are not known.
    static let gone = RowRefusal(
        sqlState: .undefinedTable, detail: "the table is gone, or is no table any more")

    /// Nil for a taken key, which is the sidecar's own judgement.
    let sqlState: SQLState?
    /// For the operator's record; may quote the row. Never for the wire.
    let detail: String
    /// The index whose values another row has.
    let violated: ViolatedIndex?
    /// The column or the constraint that PostgreSQL names: a part of the table's definition, and no
    /// value of any row.
    let culprit: String?
    /// No row of the table is taken for now: the disk of its tablespace is full.
    let isOfWholeTable: Bool
    /// What helps, other than another value.
    var advice: String?

    /// For rows whose values may be another's of the same upload.
    static let exchangeAdvice =
        "no value is free to stand in while rows exchange theirs: a constraint that is DEFERRABLE "
        + "INITIALLY DEFERRED takes an exchange as a whole; under a unique index free one of the "
        + "values in an earlier upload"

    /// Classes that speak of the server or the session, never of a row or its table.
    private static let serverClasses: Set<Substring> = [
        "08", "25", "26", "28", "2D", "3B", "3D", "40", "53", "57", "58", "72", "F0", "XX",
    ]
    /// Of these, classes that a trigger or a damaged table causes: a server that a foreign table
    /// is on, the end of a transaction in a function, a library or a file that is gone, a page that
    /// cannot be read. The session goes on, and other tables are as they were.
    private static let troubleOfTables: Set<Substring> = [
        "08", "28", "2D", "3B", "3D", "58", "72", "F0", "XX",
    ]
    /// Single codes of the same kind: a statement that a transaction cannot have, and a limit of
    /// the role's on one statement.
    private static let troublesOfTables: Set<SQLState> = [
        SQLState(rawValue: "25001"), SQLState(rawValue: "53400"),
    ]
    /// The two sides do not understand each other, which is no table's fault.
    private static let protocolViolation = SQLState(rawValue: "08P01")
    /// The error ended its statement, and not the session.
    private static let endsStatement = "ERROR"

    /// Classes that speak of our own SQL where it does not name a business table.
    private static let statementClasses: Set<Substring> = ["0A", "3F", "42", "55"]

    /// What may pass: somebody else's lock, a table that is being altered, a row that took too long
    /// together with others, or more memory, locks or disk than there is.
    private static let passing: Set<SQLState> = [
        .lockNotAvailable, .objectInUse, .queryCanceled, .outOfMemory, .diskFull,
    ]

    /// Another row is in the way, of the same batch perhaps.
    private static let collisions: Set<SQLState> = [.uniqueViolation, .exclusionViolation]

    /// Values that cannot be read or converted.
    private static let dataClass: Substring = "22"
    /// Deadlocks and failed serializations. A trigger of the team's asks for another try by it.
    private static let rollbackClass: Substring = "40"

    /// The row may be taken later as it is: the device is asked to send it again, and the operator
    /// has nothing to do.
    var isPostponed: Bool { sqlState.map(Self.passing.contains) ?? false || asksForRetry }

    /// A trigger raised a code that asks for another try. If it does so each time, only its row
    /// waits.
    private var asksForRetry: Bool { sqlState?.errorClass == Self.rollbackClass }

    /// The same row may be taken in a moment.
    var isWorthRepeating: Bool { isOfLock || asksForRetry || sqlState == .outOfMemory }

    /// Somebody else holds the row, perhaps for a moment only.
    var isOfLock: Bool { sqlState == .lockNotAvailable }

    /// The error may be about the whole table: a missing privilege, a rewrite rule, a function that
    /// a trigger calls and that is gone.
    var mayConcernTable: Bool {
        sqlState.map {
            Self.statementClasses.contains($0.errorClass) || $0 == Self.policiesOffState
                || Self.troubleOfTables.contains($0.errorClass)
        } ?? false
    }

    /// A row that there was no time left for.
    static let outOfTime = RowRefusal(
        sqlState: .queryCanceled, detail: "the request's time was used up before this row")

    /// A row whose statement has ended PostgreSQL's session again and again (`SessionEnds`).
    static let endsSession = RowRefusal(
        sqlState: endsSessionState,
        detail: "PostgreSQL's session ended each time that the row was written: a trigger, or a "
            + "function that it calls, ends or crashes it")

    /// A null for a column that takes none, as PostgreSQL refuses it.
    static func null(in column: String) -> RowRefusal {
        RowRefusal(
            sqlState: .notNullViolation,
            detail: "null value in column \"\(column)\" violates not-null constraint",
            culprit: "column \"\(column)\"")
    }

    private init(sqlState: SQLState, detail: String, culprit: String? = nil) {
        self.sqlState = sqlState
        self.detail = detail
        violated = nil
        self.culprit = culprit
        isOfWholeTable = false
    }

    /// Who sent the statement that failed.
    enum Origin {
        /// It writes rows of business tables, or checks their constraints.
        case business
        /// It is the sidecar's own, apart from statements on few business rows, in the time of an
        /// attempt at them.
        case attempt
        /// It is the sidecar's own.
        case sidecar
    }

    /// - Returns: nil for trouble of the server's.
    init?(_ error: ServerError, from origin: Origin) {
        let state = error.sqlState
        detail = error.constraint.map { "\(error.message) (constraint \($0))" } ?? error.message
        violated = Self.collisions.contains(state) ? ViolatedIndex(error) : nil
        culprit =
            error.constraint.map { "constraint \"\($0)\"" }
            ?? error.column.map { "column \"\($0)\"" } ?? error.rejectingPolicy
            ?? error.missingPartition
        isOfWholeTable = state == .diskFull && error.routine != ServerError.raiseRoutine
        if state == Self.keyTakenState {
            sqlState = nil
            return
        }
        guard !error.isStalePlan, Self.isOfRow(error, from: origin) else { return nil }
        sqlState = state
    }

    private static func isOfRow(_ error: ServerError, from origin: Origin) -> Bool {
        let state = error.sqlState
        switch origin {
        case .sidecar:
            return state.isDataTrouble
                || !serverClasses.union(statementClasses).contains(state.errorClass)
        case .attempt:
            // A full disk under the sidecar's own tables is the server's trouble.
            return passing.contains(state) && state != .diskFull || isOfRow(error, from: .sidecar)
        case .business:
            // A trigger of the team's may raise any code, and means its row even by a code that
            // speaks of the server elsewhere.
            return error.routine == ServerError.raiseRoutine || passing.contains(state)
                || !serverClasses.contains(state.errorClass) || isOfTable(error)
        }
    }

    /// The server is well, and a table is not, or what its triggers call.
    private static func isOfTable(_ error: ServerError) -> Bool {
        guard error.severity == endsStatement, error.sqlState != protocolViolation else {
            return false
        }
        return troubleOfTables.contains(error.sqlState.errorClass)
            || troublesOfTables.contains(error.sqlState)
    }

    /// - Parameter converted: columns that got a value of another kind, which may be the reason.
    func outcome(
        of change: Change, version: RowVersion, in table: TableName,
        converting converted: [Column] = []
    ) -> ChangeVerdict {
        guard let sqlState else { return .invalid(.keyTaken(table, change.row.key)) }
        var names = culprit.map { ", \($0)" } ?? ""
        if sqlState.errorClass == Self.dataClass {
            for column in converted {
                names += ", another kind of value for \(column.name) of type \(column.typeName)"
            }
        }
        let cause = "SQLSTATE \(sqlState.rawValue) (\(sqlState.meaning)\(names))"
        return .materializeError(
            version: version,
            message: isPostponed
                ? "\(table) could not take the row now: \(cause); send it again later"
                : "\(table) refused the row: \(cause)" + (advice.map { "; \($0)" } ?? ""))
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
        case .exclusionViolation: "exclusion violation"
        case .queryCanceled: "statement timeout"
        case .lockNotAvailable: "lock timeout"
        case .insufficientPrivilege: "insufficient privilege"
        case .raisedException: "raised by a trigger"
        case .undefinedTable: "the table, or one that a trigger needs, is gone"
        case .undefinedColumn: "a column of the table, or one that a trigger needs, is gone"
        case .undefinedFunction: "a function that the table or a trigger needs is gone"
        case .sequenceExhausted: "a sequence has no number left"
        case .diskFull: "the disk is full"
        case .outOfMemory: "the server has no memory for it"
        case .tooManyConnections: "too many connections"
        case RowRefusal.leftOutState: "left out by a trigger"
        case RowRefusal.hiddenState:
            "hidden by a row-level security policy, or left out by a trigger"
        case RowRefusal.endsSessionState: "writing the row ends PostgreSQL's session"
        case RowRefusal.policiesOffState: "the table's row-level security policies do not apply"
        default:
            switch errorClass {
            case "08": "a trigger cannot reach another server"
            case "0A": "feature not supported"
            case "22": "data exception"
            case "23": "integrity constraint violation"
            case "40": "a trigger asks for another try"
            case "42": "syntax error or access rule violation"
            case "44": "with check option violation"
            case "2D": "a trigger ends the transaction"
            case "53": "the server lacks resources for it"
            case "54": "program limit exceeded"
            case "58": "the database server cannot read a file"
            case "XX": "internal error, or damaged data"
            default: "refused by the database"
            }
        }
    }
}

extension ServerError {
    /// The function of PostgreSQL's source that reports a row which a policy rejects. The error
    /// names the table, and perhaps the policy, in its sentence alone: as the last two of the names
    /// in quotes, the policy first.
    private static let policyRoutine = "ExecWithCheckOptions"

    /// The policy that rejects a row, with its table: a trigger's, perhaps. Nil for other errors.
    fileprivate var rejectingPolicy: String? {
        guard sqlState == .insufficientPrivilege, routine == Self.policyRoutine else { return nil }
        let parts = message.split(separator: "\"", omittingEmptySubsequences: false)
        let names = parts.indices.filter { $0 % 2 == 1 && $0 < parts.count - 1 }.map { parts[$0] }
        let policy = names.count > 1 ? "policy \"\(names[0])\"" : "a policy"
        return names.last.map { "\(policy) of table \"\($0)\"" } ?? policy
    }

    /// The function of PostgreSQL's source that finds the partition of a row.
    private static let partitionRoutine = "ExecFindPartition"

    /// The partitioned table that has no partition for a row. Nil for other errors.
    fileprivate var missingPartition: String? {
        guard sqlState == .checkViolation, routine == Self.partitionRoutine else { return nil }
        return table.map { "no partition of table \"\($0)\" takes it" }
    }
}

extension ViolatedIndex {
    /// - Returns: nil where the error names no index.
    fileprivate init?(_ error: ServerError) {
        guard let schema = error.schema, let name = error.constraint else { return nil }
        self.init(schema: schema, name: name)
    }
}
