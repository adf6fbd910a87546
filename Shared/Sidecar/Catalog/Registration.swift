import Model
import Postgres

/// Checks registrations against the database and writes them to `sync.catalog`.
package enum Registration {
    /// Registers exactly these tables; others that were registered are marked removed, their rows stay.
    /// Plain SQL on a registered business table reaches devices from then on, and the services' roles get the rights
    /// that they need on it.
    ///
    /// - Parameter lockTimeout: longest wait for a table that is in use; then nothing is changed.
    /// - Returns: what the operator should know of the tables, a line each.
    /// - Throws: `RegistrationError` with all that is wrong with all tables; `TableInUse`;
    ///   `RoleError`; `PostgresError`.
    @discardableResult
    package static func apply(
        _ registrations: [TableRegistration], on connection: PostgresConnection,
        lockTimeout: Duration = .seconds(5)
    ) async throws -> [String] {
        try await apply(
            registrations, in: MigrationRun(on: connection), by: nil, lockTimeout: lockTimeout)
    }

    /// See ``apply(_:on:lockTimeout:)``. Each change is recorded in the audit.
    ///
    /// - Parameter origin: who asks for it; nil leaves no record.
    @discardableResult
    package static func apply(
        _ registrations: [TableRegistration], in run: MigrationRun,
        by origin: AuditOrigin?, lockTimeout: Duration = .seconds(5)
    ) async throws -> [String] {
        let connection = run.connection
        let facts = try await Introspection.read(registrations.map(\.name), on: connection)
        var remarks = try await check(registrations, facts, on: connection)
        do {
            try await ShownColumns.apply(registrations, in: run, lockTimeout: lockTimeout)
            remarks += try await AlteredRows.send(registrations, in: run)
            try await run.transaction {
                let former = try await Catalog.readTables(on: connection)
                try await record(registrations, facts, in: run)
                let tables = try await Catalog.readTables(on: connection)
                try await CaptureInstallation.apply(tables, in: run, lockTimeout: lockTimeout)
                try await RoleGrants.apply(tables, in: run)
                try await ServedValues.remove(from: tables, formerly: former, in: run)
                if let origin, !run.isRehearsal {
                    try await RegistrationAudit.record(
                        from: former, to: tables, by: origin, on: connection)
                }
            }
            remarks += try await UncapturedRows.send(in: run)
        } catch let inUse as TableInUse {
            throw await inUse.naming(holdersOn: connection)
        }
        return remarks + (try await RowSecurity.remarks(on: connection))
    }

    /// Looks for everything that keeps the tables from being registered, so that one run tells it
    /// all.
    ///
    /// - Returns: what does not.
    private static func check(
        _ registrations: [TableRegistration], _ facts: Introspection,
        on connection: PostgresConnection
    ) async throws -> [String] {
        let shapes = registrations.filter { $0.mode == .table }.map { registration in
            TableShape(
                name: registration.name, keyColumn: try? keyColumn(of: registration, facts),
                ownerColumn: registration.owner)
        }
        let flaws = try await TableFlaw.read(shapes, on: connection)
        let policies = try await PolicyCheck.read(registrations, on: connection)
        var problems: [String] = []
        for registration in registrations {
            let own = flaws.filter { $0.table == registration.name && !$0.isRemark }
            problems += own.map(\.description)
            if own.contains(where: \.isNoTable) { continue }
            problems += policies.filter { $0.table == registration.name && !$0.isRemark }
                .map(\.description)
            do {
                try await refuseOtherKeys(registration, facts, on: connection)
                try await refuseOtherMode(registration, on: connection)
                problems += registration.withheld.problems(
                    in: facts.columns[registration.name] ?? [], of: registration,
                    key: try resolve(registration, facts).key)
            } catch let error as RegistrationError {
                problems.append(error.description)
            }
        }
        guard problems.isEmpty else { throw RegistrationError(problems) }
        let required = registrations.flatMap {
            $0.withheld.remarks(of: facts.columns[$0.name] ?? [], of: $0.name)
        }
        return flaws.map(\.description) + required + policies.map(\.description)
    }

    /// Writes to `sync.catalog` what it does not say already.
    private static func record(
        _ registrations: [TableRegistration], _ facts: Introspection, in run: MigrationRun
    ) async throws {
        let known = try await Catalog.readTables(on: run.connection)
        let names = Set(known.map(\.name))
        if registrations.contains(where: { !names.contains($0.name) }) {
            try await run.spareNumbers(of: "sync.catalog_table_id_seq")
        }
        for registration in registrations {
            let (key, kind) = try resolve(registration, facts)
            let name = registration.name
            let present = known.first { $0.name == name }
            if let present, present.isRegistered(registration, key: key, kind: kind) { continue }
            try await run.execute(
                statement(for: registration, key: key, kind: kind),
                for: present == nil
                    ? "Registers \(name)" : "Changes the registration of \(name)")
        }
        let wanted = registrations.map(\.name.description)
        let others = known.filter { !$0.isRemoved }.map(\.name.description)
            .filter { !wanted.contains($0) }
        guard !others.isEmpty else { return }
        try await run.execute(
            BoundStatement(SidecarStatements.removeOthers, [.texts(wanted)]),
            for: "No longer registered: \(others.joined(separator: ", ")). Rows and log stay")
    }

    /// Keys are stored as bytes, and read as what the catalog says they are.
    private static func refuseOtherKeys(
        _ registration: TableRegistration, _ facts: Introspection,
        on connection: PostgresConnection
    ) async throws {
        let kind = try resolve(registration, facts).kind
        var bindings = Bindings()
        bindings.bind(registration.name.description)
        bindings.bind(kind.rawValue)
        let command = Command(SidecarStatements.otherKeyKind, bindings)
        guard let known = try await connection.rows(command, of: String.self).first() else {
            return
        }
        throw RegistrationError(
            "\(registration.name).key: devices know its rows by \(known) keys, now they "
                + "would be \(kind.rawValue): keep the column's type, or make a new table")
    }

    /// Rows stand in the business table, or in the sidecar alone: what is in one place is not put
    /// into the other.
    private static func refuseOtherMode(
        _ registration: TableRegistration, on connection: PostgresConnection
    ) async throws {
        var bindings = Bindings()
        bindings.bind(registration.name.description)
        bindings.bind(registration.mode.rawValue)
        let command = Command(SidecarStatements.otherMode, bindings)
        guard let known = try await connection.rows(command, of: String.self).first() else {
            return
        }
        throw RegistrationError(
            "\(registration.name).mode: devices have rows of it in mode \(known); in mode "
                + "\(registration.mode.rawValue) the business table and devices would no longer "
                + "agree: keep the mode, or make a new table")
    }

    private static func statement(
        for registration: TableRegistration, key: String, kind: KeyKind
    ) -> BoundStatement {
        BoundStatement(
            SidecarStatements.register,
            [
                .text(registration.name.schema), .text(registration.name.table),
                .text(kind.rawValue), .text(key), .text(registration.mode.rawValue),
                .text(registration.owner), .texts(registration.access.readers?.storedRoles),
                .texts(registration.access.writers?.storedRoles),
                .texts(registration.withheld.storedExcept),
                .text(registration.withheld.storedReadOnly), .bool(registration.rowSecurity),
                .text(registration.access.readers?.storedPatterns),
                .text(registration.access.writers?.storedPatterns),
            ])
    }

    /// The key column and its kind, from the registration and what the table is.
    static func resolve(
        _ registration: TableRegistration, _ facts: Introspection
    ) throws(RegistrationError) -> (key: String, kind: KeyKind) {
        let name = registration.name
        guard registration.mode == .table else {
            return (registration.key ?? "id", registration.keyKind ?? .uuid)
        }
        guard let columns = facts.columns[name] else {
            throw RegistrationError(
                "\(name): there is no such table; create it, or set mode: sidecar")
        }
        if let owner = registration.owner, !columns.contains(where: { $0.name == owner }) {
            throw RegistrationError("\(name).owner: the table has no column \"\(owner)\"")
        }
        let key = try keyColumn(of: registration, facts)
        guard let column = columns.first(where: { $0.name == key }) else {
            throw RegistrationError("\(name).key: the table has no column \"\(key)\"")
        }
        guard let kind = column.keyKind else {
            throw RegistrationError(
                "\(name).key: \"\(key)\" is \(column.typeName); keys are uuid, text, smallint, "
                    + "integer or bigint")
        }
        if let wanted = registration.keyKind, wanted != kind {
            throw RegistrationError(
                "\(name).key_kind: \"\(key)\" is \(column.typeName), not \(wanted.rawValue)")
        }
        return (key, kind)
    }

    private static func keyColumn(
        of registration: TableRegistration, _ facts: Introspection
    ) throws(RegistrationError) -> String {
        if let key = registration.key { return key }
        let primary = facts.uniqueKeys[registration.name]?.first(where: \.isPrimary)?.columns ?? []
        let candidates = primary.filter { $0 != registration.owner }
        guard candidates.count == 1 else {
            throw RegistrationError(
                "\(registration.name).key: name the key column; the primary key has \(candidates.count)"
            )
        }
        return candidates[0]
    }
}

extension RegisteredTable {
    /// Whether `sync.catalog` says of the table what a registration asks for.
    fileprivate func isRegistered(
        _ registration: TableRegistration, key: String, kind: KeyKind
    ) -> Bool {
        // PostgreSQL compares bytes: names that only look the same are two.
        !isRemoved && keyKind == kind && mode == registration.mode
            && keyColumn.utf8.elementsEqual(key.utf8)
            && ownerColumn.map { Array($0.utf8) } == registration.owner.map { Array($0.utf8) }
            && access == registration.access && withheld == registration.withheld
            && policies.isWanted == registration.rowSecurity
    }
}

extension Introspection {
    /// The unique index that a key rests on: the key alone, or the key with the owner.
    package func keyIndex(of table: TableName, key: String, owner: String?) -> [String]? {
        let wanted: [Set<String>] = [[key]] + (owner.map { [[key, $0]] } ?? [])
        return uniqueKeys[table]?.filter(\.isUsable).map(\.columns).first {
            wanted.contains(Set($0))
        }
    }
}

extension Column {
    /// How keys in the column are written, also where its type is a domain; nil if it holds none.
    var keyKind: KeyKind? {
        switch PostgresType(rawValue: baseType) {
        case .uuid: .uuid
        case .text, .varchar, .bpchar: .text
        case .int2, .int4, .int8: .integer
        default: nil
        }
    }
}
