/// Privileges on one object of a database that a service's statements need, as data: readiness reports those that
/// the service's role lacks, and `oversync migrate` grants them.
package struct RequiredPrivileges: Hashable, Sendable {
    /// A privilege, by PostgreSQL's word for it.
    package enum Privilege: String, Hashable, Sendable, CaseIterable {
        case select = "SELECT"
        case insert = "INSERT"
        case update = "UPDATE"
        case delete = "DELETE"
        case usage = "USAGE"
        case execute = "EXECUTE"
    }

    /// What kind of object it is; the raw values are the words of a GRANT.
    package enum Kind: String, Hashable, Sendable, CaseIterable {
        case schema = "SCHEMA"
        case table = "TABLE"
        case sequence = "SEQUENCE"
        /// All functions of that name.
        case function = "FUNCTION"
    }

    package let kind: Kind
    package let schema: String
    /// The object's name, unquoted; empty for a schema.
    package let name: String
    package var privileges: [Privilege]

    /// What the privileges are on.
    package struct Object: Hashable, Sendable, CustomStringConvertible {
        package let kind: Kind
        package let schema: String
        package let name: String

        /// Such as `schema sync` or `sync.scope`.
        package var description: String {
            switch kind {
            case .schema: "schema \(schema)"
            case .function: "function \(schema).\(name)"
            case .table, .sequence: "\(schema).\(name)"
            }
        }
    }

    package var object: Object { Object(kind: kind, schema: schema, name: name) }

    private init(_ kind: Kind, _ schema: String, _ name: String, _ privileges: [Privilege]) {
        self.kind = kind
        self.schema = schema
        self.name = name
        self.privileges = privileges
    }

    /// Usage of a schema.
    package init(schema: String) {
        self.init(.schema, schema, "", [.usage])
    }

    /// - Parameter table: `schema.table`, for names of ours without a dot in them.
    package init(table: String, _ privileges: [Privilege]) {
        let (schema, name) = Self.split(table)
        self.init(.table, schema, name, privileges)
    }

    /// A table of any name.
    package init(schema: String, table: String, _ privileges: [Privilege]) {
        self.init(.table, schema, table, privileges)
    }

    /// A sequence of any name.
    package init(schema: String, sequence: String) {
        self.init(.sequence, schema, sequence, [.usage])
    }

    /// - Parameter sequence: `schema.sequence`.
    package init(sequence: String, _ privileges: [Privilege] = [.usage]) {
        let (schema, name) = Self.split(sequence)
        self.init(.sequence, schema, name, privileges)
    }

    /// - Parameter function: `schema.function`, without parameters.
    package init(function: String) {
        let (schema, name) = Self.split(function)
        self.init(.function, schema, name, [.execute])
    }

    private static func split(_ name: String) -> (schema: String, name: String) {
        let parts = name.split(separator: ".", maxSplits: 1).map(String.init)
        return parts.count == 2 ? (parts[0], parts[1]) : ("public", name)
    }
}

extension RequiredPrivileges: CustomStringConvertible {
    /// Such as `SELECT, INSERT on sync.scope`.
    package var description: String {
        "\(privileges.map(\.rawValue).joined(separator: ", ")) on \(object)"
    }
}
