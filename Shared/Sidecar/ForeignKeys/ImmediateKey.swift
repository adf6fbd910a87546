import Model
import Postgres

/// A foreign key that PostgreSQL checks within each statement, so that rows which point at each other cannot
/// come in one upload whatever their order.
package struct ImmediateKey: Hashable, Sendable {
    package let table: TableName
    package let name: String
    /// The role that owns the table: it and its members may alter the key.
    package let owner: String
    /// Whether the connection's role may.
    package let isOurs: Bool

    package init(table: TableName, name: String, owner: String, isOurs: Bool) {
        self.table = table
        self.name = name
        self.owner = owner
        self.isOurs = isOurs
    }

    /// Changes the key in place: its columns, actions and validity stay, no row is read again.
    package var statement: String {
        "ALTER TABLE \(table.quotedName) ALTER CONSTRAINT \(quoted(name)) DEFERRABLE INITIALLY DEFERRED"
    }
}

extension ImmediateKey: CustomStringConvertible {
    package var description: String { "\(table).\(name)" }
}

/// Why a key was left as it is.
package enum ImmediateKeyProblem: Hashable, Sendable {
    /// The role may not alter the table; its owner may.
    case notOwner(String)
    /// Others have used the table whenever it was tried.
    case inUse(attempts: Int)
    /// The key or its table went away meanwhile.
    case gone
    /// PostgreSQL's no, by its code.
    case refused(SQLState)

    init(_ error: PostgresError, of key: ImmediateKey, attempts: Int) throws(PostgresError) {
        guard let state = error.sqlState else { throw error }
        switch state {
        case _ where error.isTransient: self = .inUse(attempts: attempts)
        case .insufficientPrivilege: self = .notOwner(key.owner)
        case .undefinedTable, .undefinedObject, .undefinedSchema: self = .gone
        default: self = .refused(state)
        }
    }
}

extension ImmediateKeyProblem: CustomStringConvertible {
    package var description: String {
        switch self {
        case .notOwner(let owner):
            "only the table's owner may alter it: connect as \"\(owner)\" or a member of it"
        case .inUse(let attempts):
            "the table was in use at each of \(attempts) attempts: end long transactions, or try later"
        case .gone: "it went away meanwhile: run the command again"
        case .refused(let state): "PostgreSQL refused with SQLSTATE \(state.rawValue)"
        }
    }
}
