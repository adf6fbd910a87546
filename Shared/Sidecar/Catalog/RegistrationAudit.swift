import Model
import Postgres
import WireJSON

/// Records in the audit what a registration changes: a row for each table, with what was and what
/// is. Rights, columns that are withheld and tables that come or go concern what users see.
enum RegistrationAudit {
    /// - Parameters:
    ///   - former: what the catalog said before, removed tables included.
    ///   - tables: what it says now.
    static func record(
        from former: [RegisteredTable], to tables: [RegisteredTable], by origin: AuditOrigin,
        on connection: PostgresConnection
    ) async throws {
        let before = Dictionary(former.map { ($0.id, $0) }, uniquingKeysWith: { $1 })
        for table in tables {
            let change = change(of: table, from: before[table.id])
            guard let change else { continue }
            try await connection.run(
                AuditStatements.Append(
                    AuditEntry(
                        .changeRegistration, of: "\(table.name)", by: origin, details: change)))
        }
    }

    /// What differs, before and after; nil if nothing does.
    private static func change(
        of table: RegisteredTable, from former: RegisteredTable?
    ) -> JSONDocument? {
        let after = facts(of: table)
        // A table that was never registered differs in everything that it has.
        let before = former.map(facts) ?? after.map { ($0.name, nil) }
        let changed = zip(before, after).filter { $0.value?.text != $1.value?.text }
        guard !changed.isEmpty else { return nil }
        return .object([
            (
                "before",
                former.map { _ in .object(changed.map { ($0.0.name, $0.0.value ?? .unsaid) }) }
            ),
            ("after", .object(changed.map { ($0.1.name, $0.1.value ?? .unsaid) })),
        ])
    }

    private static func facts(
        of table: RegisteredTable
    ) -> [(name: String, value: JSONDocument?)] {
        [
            ("registered", .bool(!table.isRemoved)), ("mode", .string(table.mode.rawValue)),
            ("key", .string(table.keyColumn)), ("key_kind", .string(table.keyKind.rawValue)),
            ("owner", table.ownerColumn.map { .string($0) }),
            ("read", list(table.access.readers?.storedRoles)),
            ("read_patterns", table.access.readers?.storedPatterns.map { .string($0) }),
            ("write", list(table.access.writers?.storedRoles)),
            ("write_patterns", table.access.writers?.storedPatterns.map { .string($0) }),
            ("except", list(table.withheld.storedExcept)),
            ("read_only", table.withheld.storedReadOnly.map { .string($0) }),
            ("row_security", .bool(table.policies.isWanted)),
        ]
    }

    private static func list(_ names: [String]?) -> JSONDocument? {
        names.map { .array($0.map { .string($0) }) }
    }
}

extension JSONDocument {
    /// Of what `oversync.yaml` does not say.
    fileprivate static let unsaid = JSONDocument.written("null")
}
