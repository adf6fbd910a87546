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

    /// True if scope `$1` is the scope of user `$2`. Refers to nothing else, so that PostgreSQL asks
    /// once per execution and does not begin with the rest where the answer is no.
    package static let isUsers = "EXISTS (SELECT FROM sync.scope s WHERE \(condition("s")))"

    /// True of the row of `sync.scope` that is scope `$1`, if it is the scope of user `$2`.
    ///
    /// - Parameter alias: what the statement calls `sync.scope`.
    package static func condition(
        _ alias: String, scope: Int = 1, user: Int = 2
    ) -> String {
        // In another collation than the index on users, so that the row is found by its number:
        // that is cheaper than comparing texts.
        "\(alias).scope_id = $\(scope) AND \(alias).user_id COLLATE \"C\" = $\(user)"
    }

    /// Binds `$1` and `$2`.
    package func bind(to bindings: inout Bindings) {
        bindings.bind(id)
        bindings.bind(user.value)
    }
}

/// The number of a user's scope. The one statement that finds a scope by its user on the way of
/// each request; `ScopeIDs` remembers what it answers.
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
