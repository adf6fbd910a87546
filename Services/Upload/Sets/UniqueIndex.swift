import Model
import Postgres
import Sidecar

/// A unique index, or the index of an exclusion constraint, as far as an upload must know it to
/// move values between rows. Read when PostgreSQL names it in an error, so that uploads without
/// such errors pay nothing.
struct UniqueIndex: Sendable {
    /// A column that a row's place in the index depends on: a member, or one that an expression, a
    /// generated member or the index's condition reads.
    struct Column: Sendable {
        let name: String
        let isMember: Bool
        /// NULL is allowed, and frees the row's value.
        let isNullable: Bool
        /// A foreign key checks each value at once: none can be made up.
        let isForeignKey: Bool
        let kind: Kind
    }

    enum Kind: String, Sendable {
        case enumeration = "e"
        case range = "r"
        case other
    }

    /// PostgreSQL's identifier; of a partitioned table's index, not of a partition's.
    let id: Int64
    /// The user whose rows are looked for in it. Others may have rows of the same keys.
    let scope: NamedScope
    /// The place of its table in the schema.
    let table: Int
    /// Its name, which is its constraint's too, as SQL takes it.
    let quotedName: String
    /// It is checked within each statement.
    let isImmediate: Bool
    /// SQL of a row's place in the index as text; NULL where the row stands in nobody's way.
    let key: String
    /// SQL of the condition of a partial index.
    let condition: String?
    /// Those that can be written without harm: no foreign key points to them.
    let columns: [Column]
}

/// The index that an error names, as PostgreSQL names it: of a partition, perhaps.
struct ViolatedIndex: Hashable, Sendable {
    let schema: String
    let name: String
}
