import Model
import Postgres

/// What roles need of registered tables: it follows from the catalog. The one list of its kind:
/// `oversync migrate` grants it (``BusinessNeed/grants``), and readiness asks for it
/// (``BusinessNeed/required``).
package enum BusinessPrivileges {
    /// What a purpose needs of one table, the table itself last.
    package static func of(_ table: RegisteredTable, for purpose: ServiceRole) -> [BusinessNeed] {
        switch purpose {
        case .upload: leases(of: table) + of(table)
        case .maintenance:
            // To verify.
            [
                .usage(ofSchema: table.name.schema),
                BusinessNeed(object: .table(table.name), rights: [.select]),
            ]
        case .download, .auth: []
        }
    }

    /// What leases of the table's keys need. Uploads go on without.
    private static func leases(of table: RegisteredTable) -> [BusinessNeed] {
        guard let sequence = table.keySequence?.name,
            !table.columnNeeds.contains(.sequence(sequence))
        else { return [] }
        return [BusinessNeed(object: .sequence(sequence), rights: [.usage])]
    }

    /// What uploads to one table need, the table itself last.
    package static func of(_ table: RegisteredTable) -> [BusinessNeed] {
        var needs: [BusinessNeed] = []
        // Whether a parent exists is asked before a child is written, unless a column of the key
        // stays on the server: what the child points to is then no device's word.
        for key in table.foreignKeys where key.parent != table.name {
            guard !key.columns.contains(where: { table.withheld.except.contains($0.child) }) else {
                continue
            }
            needs.append(.usage(ofSchema: key.parent.schema))
            needs.append(BusinessNeed(object: .table(key.parent), rights: [.select]))
        }
        for need in table.columnNeeds {
            switch need {
            case .typeSchema(let schema): needs.append(.usage(ofSchema: schema))
            case .sequence(let name):
                needs.append(BusinessNeed(object: .sequence(name), rights: [.usage]))
            }
        }
        needs.append(.usage(ofSchema: table.name.schema))
        needs.append(
            BusinessNeed(object: .table(table.name), rights: [.select, .insert, .update, .delete]))
        return needs.withoutRepetitions()
    }
}

/// Rights on one object that writing to a registered table takes.
package struct BusinessNeed: Hashable, Sendable {
    package enum Object: Hashable, Sendable {
        case schema(String)
        case table(TableName)
        /// Sequences have names as tables have.
        case sequence(TableName)
    }

    package let object: Object
    package let rights: [RequiredPrivileges.Privilege]

    static func usage(ofSchema name: String) -> BusinessNeed {
        BusinessNeed(object: .schema(name), rights: [.usage])
    }

    /// As `oversync migrate` grants it.
    var grants: [Privilege] {
        rights.map { right in
            switch object {
            case .schema(let name): Privilege(.schema, quoted(name), right.rawValue)
            case .table(let name): Privilege(.table, name.quotedName, right.rawValue)
            case .sequence(let name): Privilege(.sequence, name.quotedName, right.rawValue)
            }
        }
    }

    /// As readiness asks for it.
    package var required: RequiredPrivileges {
        switch object {
        case .schema(let name): RequiredPrivileges(schema: name)
        case .table(let name):
            RequiredPrivileges(schema: name.schema, table: name.table, rights)
        case .sequence(let name):
            RequiredPrivileges(schema: name.schema, sequence: name.table)
        }
    }
}

extension [BusinessNeed] {
    /// The first of those that are equal.
    fileprivate func withoutRepetitions() -> [BusinessNeed] {
        var seen: Set<BusinessNeed> = []
        return filter { seen.insert($0).inserted }
    }
}

extension RegisteredTable {
    /// Uploads write to a business table of its name.
    var isWritten: Bool { mode == .table && !isRemoved && !columns.isEmpty }
}
