import Model
import Postgres

/// A scope by its number, together with the user it must belong to.
///
/// A number alone is never trusted: after a restore the database may give it to another user. So
/// statements take both, and find nothing where they do not belong together.
package struct NamedScope: Hashable, Sendable {
    package let id: ScopeID
    package let user: UserID

    package init(id: ScopeID, user: UserID) {
        self.id = id
        self.user = user
    }

    /// True if scope `$1` is the scope of user `$2`. It depends on the parameters alone, so
    /// PostgreSQL asks once per execution, and reads nothing else if the answer is no.
    package static let isUsers = "EXISTS (SELECT FROM sync.scope s WHERE \(condition("s")))"

    /// True of the row of `sync.scope` that is scope `$1`, if it is the scope of user `$2`.
    ///
    /// - Parameters:
    ///   - alias: what the statement calls `sync.scope`.
    ///   - scope: the number of the scope's parameter.
    ///   - user: that of the user's.
    package static func condition(_ alias: String, scope: Int = 1, user: Int = 2) -> String {
        // PostgreSQL cannot use its index on users for a comparison in this collation, so it finds
        // the row by its number, which is cheaper.
        "\(alias).scope_id = $\(scope) AND \(alias).user_id COLLATE \"C\" = $\(user)"
    }

    /// Binds `$1` and `$2`.
    package func bind(to bindings: inout Bindings) {
        bindings.bind(id)
        bindings.bind(user.value)
    }
}

/// Finds the number of a user's scope, where ``ScopeIDs`` does not remember it.
package struct FindScope: TypedStatement {
    package static let statement = Statement(
        name: "scope_find", sql: "SELECT scope_id FROM sync.scope WHERE user_id = $1",
        parameters: [.text])

    package let user: UserID

    package init(user: UserID) {
        self.user = user
    }

    package func bind(to bindings: inout Bindings) {
        bindings.bind(user.value)
    }

    package static func row(_ columns: inout RowColumns) throws(PostgresError) -> ScopeID {
        try columns.next(Int64.self)
    }
}
