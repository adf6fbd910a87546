extension InMemoryGateway {
    /// A table that the gateway serves, as far as the gateway's rules depend on it.
    ///
    /// A gateway without a list of tables accepts every row of every table. A gateway that knows
    /// its tables rejects what the real one would: rows without their parents, nulls, and keys that
    /// are not of the table's kind.
    public struct Table: Sendable, Hashable {
        /// The kind of key in the key column.
        public enum Key: Sendable, Hashable {
            /// UUIDs. All users share one key space, so a key that another user has is taken.
            case uuid
            /// Text of 1 to 512 bytes. Each user has a key space of their own.
            case text
            /// Whole numbers of 64 bits. All users share one key space. Clients that do not ask for
            /// such keys do not see the table. Devices may lease numbers: those that follow the
            /// highest one.
            case integer
        }

        /// The table's name, in lower case.
        public let name: String
        /// The kind of key in the key column.
        public let key: Key
        /// Columns that are NOT NULL and have no default.
        public let required: Set<String>
        /// Foreign keys: the parent table of each referring column.
        public let references: [String: String]

        /// Describes a table.
        ///
        /// - Parameters:
        ///   - name: the table's name, in lower case.
        ///   - key: the kind of key in the key column.
        ///   - required: columns that are NOT NULL and have no default.
        ///   - references: foreign keys: the parent table of each referring column.
        public init(
            _ name: String, key: Key = .uuid, required: Set<String> = [],
            references: [String: String] = [:]
        ) {
            self.name = name
            self.key = key
            self.required = required
            self.references = references
        }
    }
}

extension InMemoryGateway.Table.Key {
    /// As `/sync/capabilities` names it.
    var kind: String {
        switch self {
        case .uuid: "uuid"
        case .text: "text"
        case .integer: "integer"
        }
    }
}

/// The tables of a gateway; without a list, any table is served.
struct GatewayTables: Sendable {
    /// The tables, parents first; nil means any table.
    let all: [InMemoryGateway.Table]?
    private let byName: [String: Int]

    init(_ tables: [InMemoryGateway.Table]?) {
        all = tables.map(Self.parentsFirst)
        byName = Dictionary(
            (all ?? []).enumerated().map { ($1.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    subscript(_ name: String) -> InMemoryGateway.Table? { byName[name].map { (all ?? [])[$0] } }

    /// Whether the table is served.
    func has(_ name: String) -> Bool { all == nil || byName[name] != nil }

    /// The address by which plans and changes are compared: the table's name in lower case, and
    /// UUIDs in one spelling unless the table's keys are known to be text.
    func place(_ table: String, _ pk: String) -> GatewayModel.Place {
        let name = table.lowercased()
        let isUUID = self[name].map { $0.key == .uuid } ?? true
        let key = isUUID ? WireKey.uuid(pk) ?? pk : pk
        return GatewayModel.Place(table: name, pk: key)
    }

    /// The address of a row that a test writes: the key as given, unless the table's keys are known
    /// to be UUIDs.
    func writtenPlace(_ table: String, _ pk: String) -> GatewayModel.Place {
        let name = table.lowercased()
        return self[name]?.key == .uuid ? place(name, pk) : GatewayModel.Place(table: name, pk: pk)
    }

    func rank(_ name: String) -> Int { byName[name] ?? 0 }

    /// Whether one of these tables refers to another of them.
    func areRelated(_ names: Set<String>) -> Bool {
        names.contains { name in
            self[name]?.references.values.contains { $0 != name && names.contains($0) } == true
        }
    }

    /// The columns that refer to a table.
    func referring(to parent: String) -> [(table: String, column: String)] {
        (all ?? []).flatMap { table in
            table.references.filter { $0.value == parent }.map { (table.name, $0.key) }
        }
    }

    /// Tables in a cycle stay in the given order.
    private static func parentsFirst(_ tables: [InMemoryGateway.Table]) -> [InMemoryGateway.Table] {
        var ordered: [InMemoryGateway.Table] = []
        var left = tables
        while !left.isEmpty {
            let names = Set(left.map(\.name))
            let next = left.firstIndex { table in
                names.isDisjoint(with: table.references.values.filter { $0 != table.name })
            }
            ordered.append(left.remove(at: next ?? 0))
        }
        return ordered
    }
}
