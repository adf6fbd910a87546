/// A five-character SQLSTATE, PostgreSQL's stable error code (its manual, appendix A).
package struct SQLState: RawRepresentable, Hashable, Sendable {
    package let rawValue: String

    package init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// The first two characters, which name the class of the condition.
    package var errorClass: Substring { rawValue.prefix(2) }

    package static let featureNotSupported = SQLState(rawValue: "0A000")
    package static let sequenceExhausted = SQLState(rawValue: "2200H")
    package static let notNullViolation = SQLState(rawValue: "23502")
    package static let foreignKeyViolation = SQLState(rawValue: "23503")
    package static let uniqueViolation = SQLState(rawValue: "23505")
    package static let checkViolation = SQLState(rawValue: "23514")
    package static let exclusionViolation = SQLState(rawValue: "23P01")
    package static let readOnlyTransaction = SQLState(rawValue: "25006")
    package static let inFailedTransaction = SQLState(rawValue: "25P02")
    /// The session paused inside a transaction for longer than it may, and is gone.
    package static let idleInTransactionTimeout = SQLState(rawValue: "25P03")
    package static let invalidStatementName = SQLState(rawValue: "26000")
    package static let invalidAuthorization = SQLState(rawValue: "28000")
    package static let invalidPassword = SQLState(rawValue: "28P01")
    package static let undefinedDatabase = SQLState(rawValue: "3D000")
    package static let serializationFailure = SQLState(rawValue: "40001")
    package static let deadlockDetected = SQLState(rawValue: "40P01")
    package static let insufficientPrivilege = SQLState(rawValue: "42501")
    package static let syntaxError = SQLState(rawValue: "42601")
    package static let datatypeMismatch = SQLState(rawValue: "42804")
    package static let undefinedTable = SQLState(rawValue: "42P01")
    package static let undefinedColumn = SQLState(rawValue: "42703")
    package static let undefinedFunction = SQLState(rawValue: "42883")
    package static let undefinedObject = SQLState(rawValue: "42704")
    package static let duplicateObject = SQLState(rawValue: "42710")
    package static let undefinedSchema = SQLState(rawValue: "3F000")
    /// Also the disk of one tablespace.
    package static let diskFull = SQLState(rawValue: "53100")
    /// Also of shared memory, which holds the locks of a transaction.
    package static let outOfMemory = SQLState(rawValue: "53200")
    package static let tooManyConnections = SQLState(rawValue: "53300")
    package static let objectInUse = SQLState(rawValue: "55006")
    package static let lockNotAvailable = SQLState(rawValue: "55P03")
    package static let queryCanceled = SQLState(rawValue: "57014")
    package static let adminShutdown = SQLState(rawValue: "57P01")
    package static let crashShutdown = SQLState(rawValue: "57P02")
    package static let cannotConnectNow = SQLState(rawValue: "57P03")
    package static let raisedException = SQLState(rawValue: "P0001")
    /// What should not happen, and what happens when two sessions change one entry of PostgreSQL's catalog.
    package static let internalError = SQLState(rawValue: "XX000")

    /// The row itself is refused: repeating it unchanged cannot help, other rows are not concerned.
    ///
    /// Data exceptions, integrity violations, failed check options, a value of an unfitting type,
    /// and what a trigger of the team's own raised.
    package var isDataTrouble: Bool {
        switch errorClass {
        case "22", "23", "44": true
        default: self == .datatypeMismatch || self == .raisedException
        }
    }

    /// The moment was wrong: the same transaction may succeed if it is repeated.
    ///
    /// A query cancelled by a statement timeout (57014) is not among them, since it may only be
    /// too slow.
    package var isTransient: Bool {
        switch errorClass {
        case "08", "53": true
        default:
            switch self {
            case .serializationFailure, .deadlockDetected, .lockNotAvailable, .adminShutdown,
                .crashShutdown, .cannotConnectNow, .idleInTransactionTimeout:
                true
            default: false
            }
        }
    }
}
