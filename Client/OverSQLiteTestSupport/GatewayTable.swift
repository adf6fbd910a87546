extension InMemoryGateway {
    /// A table that a gateway serves, as far as its rules depend on it.
    ///
    /// A gateway made without tables takes every row of every table. One that knows them refuses
    /// what the real one would: rows without their parents, nulls, keys that are no UUIDs.
    public struct Table: Sendable, Hashable {
        /// What the key column holds.
        public enum Key: Sendable, Hashable {
            /// UUIDs, which all users share: a key that another has used is taken.
            case uuid
            /// Text of 1 to 512 bytes; each user has keys of his own.
            case text
        }

        /// The table's name, in lower case.
        public let name: String
        /// What the key column holds.
        public let key: Key
        /// Columns that are declared NOT NULL and have no default.
        public let required: Set<String>
        /// Foreign keys: the table that each column points to.
        public let references: [String: String]

        /// Describes a table.
        ///
        /// - Parameters:
        ///   - name: its name, in lower case.
        ///   - key: what the key column holds.
        ///   - required: columns that are declared NOT NULL and have no default.
        ///   - references: foreign keys: the table that each column points to.
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

/// The tables of a gateway, or none, which stands for any.
struct GatewayTables: Sendable {
    /// Parents first.
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

    /// A row's address by which plans and changes are compared: names in lower case, and UUIDs in
    /// one spelling unless the table's keys are known to be text.
    func place(_ table: String, _ pk: String) -> GatewayModel.Place {
        let name = table.lowercased()
        let key = self[name]?.key == .text ? pk : WireKey.uuid(pk) ?? pk
        return GatewayModel.Place(table: name, pk: key)
    }

    /// The address of a row that a test writes: the key as given, unless the table's keys are known
    /// to be UUIDs.
    func writtenPlace(_ table: String, _ pk: String) -> GatewayModel.Place {
        let name = table.lowercased()
        return self[name]?.key == .uuid ? place(name, pk) : GatewayModel.Place(table: name, pk: pk)
    }

    func rank(_ name: String) -> Int { byName[name] ?? 0 }

    /// Whether one of these tables points to another.
    func areRelated(_ names: Set<String>) -> Bool {
        names.contains { name in
            self[name]?.references.values.contains { $0 != name && names.contains($0) } == true
        }
    }

    /// The columns that point to a table.
    func referring(to parent: String) -> [(table: String, column: String)] {
        (all ?? []).flatMap { table in
            table.references.filter { $0.value == parent }.map { (table.name, $0.key) }
        }
    }

    /// Tables in a circle stay in the order they were given in.
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
