@testable import AuthService
@testable import DatabaseKit
@testable import DownloadService
import Logging
import Model
import NIOCore
import Postgres
import RPC
import ServiceKit
@testable import Sidecar
import Testing
import TestSupport
@testable import UploadService

/// The privileges that readiness looks for, and that `oversync migrate` grants, are those that the statements need.
@Suite("Each service's declared privileges are what its statements need")
struct PrivilegesTests {
    /// A service's declaration, and everything that it sends.
    private struct Service {
        let privileges: [RequiredPrivileges]
        let statements: [StatementAttempt]
        /// Statements that no list has: those made for the registered tables, above all.
        var generated: [Command] = []
    }

    private static func withServices(
        _ body: (SyncedDatabase, [(name: String, service: Service)], Stranger) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with(tables: Victim.tables, registered: Victim.yaml) { database in
            _ = try await Victim(in: database)
            let stranger = try await Stranger(in: database)
            let catalog = try await database.source.catalog()
            let schema = UploadSchema(catalog: catalog)
            let services = [
                (
                    "upload",
                    Service(
                        privileges: UploadPrivileges.sidecar
                            + Set(catalog.tables.flatMap(UploadPrivileges.business)),
                        statements: attempts(
                            UploadStatements.all + FailureStatements.all + DeviceAdministration.all
                                + AuditStatements.ofUpload + OverviewStatements.all
                                + catalogStatements
                                + [FlawStatements.ReadStates.statement]),
                        generated: generated(schema, stranger.named))
                ),
                (
                    "download",
                    Service(
                        privileges: DownloadPrivileges.sidecar,
                        statements: attempts(DownloadStatements.all + catalogStatements))
                ),
                (
                    "auth",
                    Service(
                        privileges: AuthPrivileges.all,
                        statements: attempts(AuthStatements.all),
                        generated: [Command(ProbeStatements.layoutVersion(.auth))])
                ),
            ]
            try await body(database, services, stranger)
        }
    }

    /// What services of the former layout need, which run on while they are replaced.
    private static func isOfFormerLayout(_ privilege: RequiredPrivileges) -> Bool {
        privilege.name == "change_log" && privilege.privileges.map(\.rawValue) == ["UPDATE"]
    }

    private static let catalogStatements = [
        SidecarStatements.ReadRegisteredTables.statement,
        SidecarStatements.hasDeferrableConstraints, SidecarStatements.ReadColumns.statement,
        SidecarStatements.ReadForeignKeys.statement, SidecarStatements.ReadUniqueKeys.statement,
        SidecarStatements.ReadRowTriggers.statement, SidecarStatements.ReadComparisons.statement,
        SidecarStatements.layoutVersion,
        FlawStatements.mayWrite,
        FlawStatements.ReadShapes.statement,
    ]

    private static func attempts(_ statements: [Statement]) -> [StatementAttempt] {
        let names = Set(statements.map(\.name))
        let attempts = StatementAttempt.all.filter { names.contains($0.statement.name) }
        #expect(Set(attempts.map(\.statement.name)) == names)
        return attempts
    }

    /// Every statement that reads or writes business rows, for every registered table.
    private static func generated(
        _ schema: UploadSchema, _ scope: NamedScope
    ) -> [Command] {
        let statements = BusinessStatements(schema)
        var commands: [Command] = []
        for (index, table) in schema.tables.enumerated() {
            let kind = table.registered.keyKind
            var columns = ColumnSet()
            for column in table.registered.columns.indices { columns.insert(column) }
            let key = kind == .uuid ? id("ffff") : "nobody's"
            for write in [MaterializeStatement.Kind.create, .update, .delete] {
                for rows in [MaterializeStatement.Expectation.asRecorded, .anything] {
                    commands += statements.writes(
                        key, of: index, write, expecting: rows, for: scope)
                }
            }
            for write in [MaterializeStatement.Kind.create, .update] {
                guard
                    let stored = statements.stored(
                        .init(table: index, write, columns, hasMore: true), expecting: .anything)
                else { continue }
                commands.append(
                    Command(stored.statement, storedBindings(table.registered, scope)))
            }
            if let row = RowKey(key, kind: kind) {
                commands.append(PlacesTests.places(of: row, index, in: schema, for: scope))
            }
            if let statement = statements.keyUse(index) {
                var bindings = Bindings()
                bindings.bind(bytes: kind == .uuid ? Stranger.bytes(ofUUID: key) : Array(key.utf8))
                MaterializeStatement.bind(owner: scope, of: table.registered, to: &bindings)
                commands.append(Command(statement, bindings))
            }
        }
        commands += lookUps(of: schema.hiding, scope)
        for (index, key) in schema.foreignKeys.enumerated() {
            let value = key.payloadPairs.map { pair -> ParentValue in
                switch pair.type {
                case .uuid: .uuid(RowKey(id("ffff"), kind: .uuid)!)
                case .integer: .integer(1)
                case .text: .text(ExactText("none"))
                }
            }
            commands.append(
                Command(
                    statements.parents(index),
                    ParentStatement.bindings(
                        scope, key, [ParentReference(foreignKey: index, values: value)],
                        in: schema)))
        }
        return commands
    }

    /// Statements that look for rows which policies hide.
    private static func lookUps(of schema: UploadSchema, _ scope: NamedScope) -> [Command] {
        let statements = BusinessStatements(schema)
        return schema.tables.enumerated().flatMap { index, table in
            let key = table.registered.keyKind == .uuid ? id("ffff") : "nobody's"
            return statements.writes(
                key, of: index, .delete, expecting: .asRecorded, for: scope)
        }
    }

    /// No changes: what the statement may do is asked before it does anything.
    private static func storedBindings(
        _ table: RegisteredTable, _ scope: NamedScope
    ) -> Bindings {
        var bindings = Bindings()
        scope.bind(to: &bindings)
        bindings.bind(Int32(1))
        bindings.bind(Int64(0))
        bindings.bind(ArrayBinding(of: table.keyKind == .uuid ? .uuid : .text))
        LogRows([], of: [], UnsafeBufferPointer(start: nil, count: 0)).bind(to: &bindings)
        return bindings
    }

    /// Runs everything as the role, each by itself and taken back.
    ///
    /// - Returns: the names of the statements that a privilege was missing for.
    private static func refused(
        _ service: Service, _ database: SyncedDatabase, _ stranger: Stranger
    ) async throws -> [String] {
        var refused: [String] = []
        let fixed = service.statements.map { attempt in
            var bindings = Bindings()
            attempt.bind(&bindings, stranger)
            return Command(attempt.statement, bindings)
        }
        for command in fixed + service.generated {
            let name = command.statement.name
            // Inside of a transaction PostgreSQL refuses one that chooses its level.
            let opening =
                command.statement.sql.hasPrefix("BEGIN ISOLATION LEVEL")
                ? [] : [Command(UploadStatements.begin), Command(UploadStatements.savepoint)]
            do throws(PostgresError) {
                _ = try await database.sql.run(opening + [command])
            } catch {
                switch error.sqlState {
                case .insufficientPrivilege: refused.append(name)
                // The row is not as the statement expects it, or breaks a rule of its table.
                case RowRefusal.keyTakenState: break
                case let state? where state.errorClass == "23": break
                default: throw error
                }
            }
            try await database.execute("ROLLBACK")
        }
        return refused
    }

    @Test("A role with exactly these privileges can run every statement of its service")
    func complete() async throws {
        try await Self.withServices { database, services, stranger in
            for (name, service) in services {
                try await GrantedRole.with(in: database, granting: service.privileges) { role in
                    if name == "upload" { try await role.grantCapture() }
                    try await role.act {
                        let refused = try await Self.refused(service, database, stranger)
                        #expect(refused == [], "\(name)")
                    }
                }
            }
        }
    }

    @Test("Without any one of them some statement of the service fails")
    func minimal() async throws {
        try await Self.withServices { database, services, stranger in
            for (name, service) in services {
                try await GrantedRole.with(in: database, granting: service.privileges) { role in
                    if name == "upload" { try await role.grantCapture() }
                    for privilege in service.privileges.flatMap(\.single)
                    where !Self.isOfFormerLayout(privilege) {
                        try await role.revoke(privilege)
                        try await role.act {
                            let refused = try await Self.refused(service, database, stranger)
                            #expect(refused != [], "\(name) needs no \(privilege)")
                        }
                        try await role.grant(privilege)
                    }
                }
            }
        }
    }

    @Test("An upload that lacks a privilege is refused without reading the catalog again")
    func catalogIsLeft() async throws {
        try await SyncedDatabase.with { database in
            let tags = TableName(schema: "s", table: "tags")
            func columns() -> [String]? { database.source.known?[tags]?.columns.map(\.name) }
            try await database.source.refresh()
            // From now on, a reader of the catalog sees another column.
            try await database.execute(
                """
                REVOKE INSERT ON s.notes FROM \(ServiceRole.upload.defaultName);
                ALTER TABLE s.tags ADD COLUMN colour text
                """)
            #expect(
                try await database.outcomes("ann", change(1, "INSERT", "notes", id("1"), "{}"))
                    == ["materialize_error 42501"])
            #expect(columns() == ["code", "label"])
            // A column that it does not know is another matter.
            let red = change(2, "INSERT", "tags", "red", #"{"colour":"red"}"#)
            #expect(try await database.outcomes("ann", red) == ["applied 1"])
            #expect(columns() == ["code", "label", "colour"])
        }
    }

    @Test("An upload and a download work as roles with exactly these privileges")
    func whole() async throws {
        try await Self.withServices { database, services, _ in
            try await GrantedRole.with(in: database, granting: services[0].service.privileges) {
                role in
                try await role.grantCapture()
                let pool = PostgresPool(
                    try role.configuration, pool: try PoolConfiguration(),
                    logger: SyncedDatabase.logger)
                let executor = try UploadExecutor(
                    pool: pool, source: CatalogSource(pool: pool, logger: SyncedDatabase.logger),
                    limits: .init(), Configuration(environment: [:]))
                let body = [
                    change(900, "INSERT", "notes", id("77"), #"{"title":"x"}"#),
                    change(901, "INSERT", "tags", "t77", #"{"label":"x"}"#),
                    change(902, "INSERT", "refusing", id("78"), #"{"word":"bad"}"#),
                    change(903, "DELETE", "tags", "t77", base: 1),
                ].joined(separator: ",")
                let (_, result) = try await executor.upload(
                    ByteBuffer(string: #"{"changes":[\#(body)]}"#),
                    from: CallerIdentity(user: "carl", device: "new"),
                    deadline: .now + .seconds(30))
                #expect(
                    result.outcomes.map(\.line) == [
                        "applied 1", "applied 1", "materialize_error 23514", "applied 2",
                    ])
            }
            #expect(
                try await database.feed("carl") == ["I notes 77 1", "I tags 77 1", "D tags 77 2"])
        }
    }
}
