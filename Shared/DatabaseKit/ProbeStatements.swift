import Postgres

/// The statements by which a service finds out whether its database can be used. They read system tables alone,
/// except the last one.
package enum ProbeStatements {
    /// Who the service is, and whether it may write.
    struct ReadSession: TypedStatement {
        static let statement = Statement(
            name: "probe_session",
            sql: """
                SELECT current_user::text, pg_is_in_recovery(),
                    current_setting('transaction_read_only') = 'on'
                """)

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> DatabaseReading {
            var reading = DatabaseReading(role: try columns.next(String.self))
            reading.isStandby = try columns.next(Bool.self)
            reading.isReadOnly = try columns.next(Bool.self)
            return reading
        }
    }

    /// Those of the wanted privileges that the role does not have, and whether the object is
    /// absent. By the system's tables and not by names as text: looking one of those up fails in a
    /// schema that the role may not use.
    struct FindMissingPrivileges: TypedStatement {
        static let statement = Statement(
            name: "probe_privileges",
            sql: """
                SELECT w.place::int8, bool_and(o.oid IS NULL)
                FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
                    WITH ORDINALITY AS w(kind, schema, name, privilege, place)
                LEFT JOIN LATERAL (
                    SELECT n.oid FROM pg_namespace n WHERE w.kind = 'SCHEMA' AND n.nspname = w.schema
                    UNION ALL
                    SELECT c.oid FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE w.kind IN ('TABLE', 'SEQUENCE')
                        AND n.nspname = w.schema AND c.relname = w.name
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

        let wanted: [(RequiredPrivileges, RequiredPrivileges.Privilege)]

        func bind(to bindings: inout Bindings) {
            var kinds = ArrayBinding(of: .text)
            var schemas = ArrayBinding(of: .text)
            var names = ArrayBinding(of: .text)
            var privileges = ArrayBinding(of: .text)
            for (object, privilege) in wanted {
                kinds.append(object.kind.rawValue)
                schemas.append(object.schema)
                names.append(object.name)
                privileges.append(privilege.rawValue)
            }
            for binding in [kinds, schemas, names, privileges] { bindings.bind(binding) }
        }

        /// - Returns: the place among the wanted privileges, from 1.
        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (place: Int64, isAbsent: Bool) {
            (try columns.next(Int64.self), try columns.next(Bool.self))
        }
    }

    static func layoutVersion(_ table: LayoutTable) -> Statement {
        Statement(
            name: "probe_layout_\(table)",
            sql: "SELECT layout_version::bigint FROM \(table.rawValue)")
    }

    package static let all =
        [ReadSession.statement, FindMissingPrivileges.statement]
        + LayoutTable.allCases.map(layoutVersion)
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
        var pipeline = Pipeline()
        let session = pipeline.add(ProbeStatements.ReadSession())
        let missing = pipeline.add(ProbeStatements.FindMissingPrivileges(wanted: single))
        let results = try await run(pipeline, deadline: deadline)
        var reading = try results[session].one()
        var lacking = try results[missing]
        while let (place, isAbsent) = try lacking.next() {
            let (object, privilege) = single[Int(place) - 1]
            reading.record(object, lacks: privilege, isAbsent: isAbsent)
        }
        if !reading.missing.contains(where: { table.objects.contains($0.what.object) }) {
            let version = try await rows(
                ProbeStatements.layoutVersion(table), of: Int64.self, deadline: deadline)
            reading.layout = Int(try version.first() ?? 0)
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
