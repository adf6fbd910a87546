import Model
import Postgres

/// Checks registrations against the database and writes them to `sync.catalog`.
package enum Registration {
    /// Object identifier of PostgreSQL's `uuid`.
    static let uuidType: UInt32 = PostgresType.uuid.rawValue

    /// Registers exactly these tables; others that were registered are marked removed, their rows stay.
    /// Plain SQL on a registered business table reaches devices from then on, and the services' roles get the rights
    /// that they need on it.
    ///
    /// - Parameter lockTimeout: longest wait for a table that is in use; then nothing is changed.
    /// - Throws: `RegistrationError`; `TableInUse`; `RoleError`; `PostgresError`.
    package static func apply(
        _ registrations: [TableRegistration], on connection: PostgresConnection,
        lockTimeout: Duration = .seconds(5)
    ) async throws {
        let facts = try await Introspection.read(registrations.map(\.name), on: connection)
        var commands = [
            Command(Statement(name: "begin", sql: "BEGIN")),
            Command(Statement(name: "migrator_lock", sql: Migrator.lock)),
        ]
        var names = ArrayBinding(of: .text, reserving: registrations.count)
        for registration in registrations {
            try await refuseOtherKeys(registration, facts, on: connection)
            commands.append(
                Command(SidecarStatements.register, try bindings(of: registration, facts)))
            names.append(registration.name.description)
        }
        var kept = Bindings()
        kept.bind(names)
        commands.append(Command(SidecarStatements.removeOthers, kept))
        do {
            _ = try await connection.run(commands)
            let tables = try await Catalog.readTables(on: connection)
            try await CaptureInstallation.apply(
                tables, on: connection, lockTimeout: lockTimeout)
            try await RoleGrants.apply(tables, on: connection)
            try await connection.execute(script: "COMMIT")
        } catch {
            try? await connection.execute(script: "ROLLBACK")
            guard let inUse = error as? TableInUse else { throw error }
            throw await inUse.naming(holdersOn: connection)
        }
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

    private static func bindings(
        of registration: TableRegistration, _ facts: Introspection
    ) throws(RegistrationError) -> Bindings {
        let resolved = try resolve(registration, facts)
        var bindings = Bindings()
        bindings.bind(registration.name.schema)
        bindings.bind(registration.name.table)
        bindings.bind(resolved.kind.rawValue)
        bindings.bind(resolved.key)
        bindings.bind(registration.mode.rawValue)
        bindings.bind(registration.owner)
        for roles in [registration.access.readRoles, registration.access.writeRoles] {
            guard let roles else {
                bindings.bind(bytes: nil)
                continue
            }
            var names = ArrayBinding(of: .text)
            for role in roles.sorted() { names.append(role) }
            bindings.bind(names)
        }
        return bindings
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
        guard facts.keyIndex(of: name, key: key, owner: registration.owner) != nil else {
            let owner = registration.owner.map { ", alone or with \($0)" } ?? ""
            throw RegistrationError(
                "\(name).key: \"\(key)\" needs a primary key or unique index\(owner)")
        }
        let kind: KeyKind = column.baseType == uuidType ? .uuid : .text
        if kind == .text, !column.isText {
            throw RegistrationError(
                "\(name).key: \"\(key)\" is \(column.typeName); keys are uuid or text")
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

extension Introspection {
    /// The unique index that a key rests on: the key alone, or the key with the owner.
    package func keyIndex(of table: TableName, key: String, owner: String?) -> [String]? {
        let wanted: [Set<String>] = [[key]] + (owner.map { [[key, $0]] } ?? [])
        return uniqueKeys[table]?.map(\.columns).first { wanted.contains(Set($0)) }
    }
}

extension Column {
    /// text, varchar, char(n), or a domain over one.
    package var isText: Bool { [25, 1043, 1042].contains(baseType) }
}
