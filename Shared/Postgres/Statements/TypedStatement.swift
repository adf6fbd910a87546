/// A statement as one type: its SQL, its parameters, and the form of its rows.
///
/// A conforming type's stored properties are the statement's parameters. Its select list and
/// ``row(_:)`` stand side by side and have the same order:
///
///     struct ReadHead: TypedStatement {
///         static let statement = Statement(
///             name: "read_head", sql: "SELECT seq, version FROM head WHERE id = $1",
///             parameters: [.int8])
///         let id: Int64
///
///         func bind(to bindings: inout Bindings) {
///             bindings.bind(id)
///         }
///
///         static func row(
///             _ columns: inout RowColumns
///         ) throws(PostgresError) -> (seq: Int64, version: Int64?) {
///             (try columns.next(Int64.self), try columns.next(Int64?.self))
///         }
///     }
package protocol TypedStatement: Sendable {
    /// What ``row(_:)`` makes of a row; `Void` for a statement whose rows nobody reads.
    associatedtype Row = Void

    static var statement: Statement { get }

    /// Binds the values of `$1`, `$2`, … in this order. Without parameters there is nothing to do.
    func bind(to bindings: inout Bindings)

    /// Reads one row: each column of the select list once, in order.
    ///
    /// - Throws: `.decoding`, as ``RowColumns`` does.
    static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row
}

extension TypedStatement {
    package func bind(to bindings: inout Bindings) {}
}

extension TypedStatement where Row == Void {
    package static func row(_ columns: inout RowColumns) throws(PostgresError) {
        columns.skipRest()
    }
}

extension Command {
    package init(_ statement: some TypedStatement) {
        var bindings = Bindings()
        statement.bind(to: &bindings)
        self.init(type(of: statement).statement, bindings)
    }
}
