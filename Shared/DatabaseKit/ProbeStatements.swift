import Postgres

/// The statements by which a service finds out whether its database can be used. They read system tables alone,
/// except the last one.
package enum ProbeStatements {
    /// Who the service is, and whether it may write.
    package static let session = Statement(
        name: "probe_session",
        sql: """
            SELECT current_user::text, pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'
            """)

    /// Those of the wanted privileges (`$1` kinds, `$2` schemas, `$3` names, `$4` privileges) that the role does not
    /// have, by their place; and whether the object is absent. By the system's tables and not by names as text:
    /// looking one of those up fails in a schema that the role may not use.
    package static let missingPrivileges = Statement(
        name: "probe_privileges",
        sql: """
            SELECT w.place::int8, bool_and(o.oid IS NULL)
            FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
                WITH ORDINALITY AS w(kind, schema, name, privilege, place)
            LEFT JOIN LATERAL (
                SELECT n.oid FROM pg_namespace n WHERE w.kind = 'SCHEMA' AND n.nspname = w.schema
                UNION ALL
                SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE w.kind IN ('TABLE', 'SEQUENCE') AND n.nspname = w.schema AND c.relname = w.name
                UNION ALL
                SELECT p.oid FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                WHERE w.kind = 'FUNCTION' AND n.nspname = w.schema AND p.proname = w.name
            ) AS o ON true
            WHERE o.oid IS NULL OR NOT CASE w.kind
                WHEN 'SCHEMA' THEN has_schema_privilege(o.oid, w.privilege)
                WHEN 'TABLE' THEN has_table_privilege(o.oid, w.privilege)
                WHEN 'SEQUENCE' THEN has_sequence_privilege(o.oid, w.privilege)
                ELSE has_function_privilege(o.oid, w.privilege) END
            GROUP BY w.place ORDER BY w.place
            """,
        parameters: [.textArray, .textArray, .textArray, .textArray])

    static func layoutVersion(_ table: LayoutTable) -> Statement {
        Statement(
            name: "probe_layout_\(table)",
            sql: "SELECT layout_version::bigint FROM \(table.rawValue)")
    }

    package static let all =
        [session, missingPrivileges] + LayoutTable.allCases.map(layoutVersion)
}

extension PostgresConnection {
    /// Looks at the database in at most two round trips.
    ///
    /// - Parameters:
    ///   - wanted: privileges to look for.
    ///   - table: where the layout's number is read.
    func readDatabase(
        wanting wanted: [RequiredPrivileges], layoutIn table: LayoutTable,
        deadline: ContinuousClock.Instant
    ) async throws(PostgresError) -> DatabaseReading {
        let single = Self.single(wanted)
        var kinds = ArrayBinding(of: .text)
        var schemas = ArrayBinding(of: .text)
        var names = ArrayBinding(of: .text)
        var privileges = ArrayBinding(of: .text)
        for (object, privilege) in single {
            kinds.append(object.kind.rawValue)
            schemas.append(object.schema)
            names.append(object.name)
            privileges.append(privilege.rawValue)
        }
        var bindings = Bindings()
        for binding in [kinds, schemas, names, privileges] { bindings.bind(binding) }
        let results = try await run(
            [
                Command(ProbeStatements.session),
                Command(ProbeStatements.missingPrivileges, bindings),
            ], deadline: deadline)
        var reading = DatabaseReading(role: try results[0].string(0, 0))
        reading.isStandby = try results[0].bool(0, 1)
        reading.isReadOnly = try results[0].bool(0, 2)
        for row in 0..<results[1].rowCount {
            let (object, privilege) = single[Int(try results[1].int64(row, 0)) - 1]
            reading.record(object, lacks: privilege, isAbsent: try results[1].bool(row, 1))
        }
        if !reading.missing.contains(where: { table.objects.contains($0.what.object) }) {
            let version = try await run(
                Command(ProbeStatements.layoutVersion(table)), deadline: deadline)
            reading.layout = version.rowCount > 0 ? Int(try version.int64(0, 0)) : 0
        }
        return reading
    }
}

extension PostgresConnection {
    /// One entry a privilege. What several tables need, such as a parent of theirs, is asked for
    /// once.
    private static func single(
        _ wanted: [RequiredPrivileges]
    ) -> [(RequiredPrivileges, RequiredPrivileges.Privilege)] {
        var asked: [RequiredPrivileges.Object: Set<RequiredPrivileges.Privilege>] = [:]
        var single: [(RequiredPrivileges, RequiredPrivileges.Privilege)] = []
        for object in wanted {
            for privilege in object.privileges {
                let isNew = asked[object.object, default: []].insert(privilege).inserted
                if isNew { single.append((object, privilege)) }
            }
        }
        return single
    }
}

extension DatabaseReading {
    fileprivate mutating func record(
        _ object: RequiredPrivileges, lacks privilege: RequiredPrivileges.Privilege, isAbsent: Bool
    ) {
        if let last = missing.indices.last, missing[last].what.object == object.object {
            missing[last].what.privileges.append(privilege)
        } else {
            var what = object
            what.privileges = [privilege]
            missing.append(Missing(what: what, isAbsent: isAbsent))
        }
    }
}
