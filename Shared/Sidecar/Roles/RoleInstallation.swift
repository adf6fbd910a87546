import Model
import Postgres

/// Roles that are missing and cannot be made, or rights that cannot be granted: what an operator does about it.
package struct RoleError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

/// Creates the services' roles where they are missing, and keeps those that Oversync created as they should be.
///
/// Roles belong to the whole server: migrators of several databases may make the same ones at the same time.
package struct RoleInstallation {
    /// How often a step is tried that another database's migrator was in the way of.
    static let maximumAttempts = 10
    /// What PostgreSQL says when another session makes or changes the same role.
    private static let racing: Set<SQLState> = [
        .duplicateObject, .uniqueViolation, .internalError,
    ]

    private let run: MigrationRun
    private let request: RoleRequest
    private var connection: PostgresConnection { run.connection }

    package init(_ request: RoleRequest = .standard, connection: PostgresConnection) {
        self.init(request, in: MigrationRun(on: connection))
    }

    package init(_ request: RoleRequest = .standard, in run: MigrationRun) {
        self.run = run
        self.request = request
    }

    private struct Existing {
        /// Whether each role that exists is one that Oversync created.
        var managed: [String: Bool] = [:]

        func isManaged(_ role: RoleRequest.Resolved) -> Bool {
            managed[role.name.description] == true
        }
    }

    private typealias Session = RoleStatements.ReadSession.Row

    /// Makes what is missing, writes the roles into the database's records, and grants what their services need.
    ///
    /// - Returns: what was done, and what the operator should know, a line each.
    /// - Throws: `RoleError`; `PostgresError`.
    package func apply() async throws -> [String] {
        let session = try await readSession()
        let recorded = try await RoleGrants.installed(on: connection)
        let roles = request.resolved(recorded: recorded)
        let names = Set(roles.map(\.name.description))
        let replaced = recorded.filter { $0.exists && !names.contains($0.name) }
        var remarks = try await create(roles, session)
        let existing = try await readExisting(roles)
        try await run.transaction {
            try await record(roles, existing)
            // Replicas that run now are still connected as the role before.
            try await RoleGrants.apply(
                Catalog.readTables(on: connection),
                former: .revoke(except: Set(replaced.map(\.name))), in: run)
        }
        for former in replaced {
            let role = roles.first { $0.purpose == former.purpose }
            remarks.append(Self.remark(on: former, replacedBy: role?.name.description ?? ""))
        }
        for role in roles {
            guard !existing.isManaged(role) else {
                try await configure(role, session)
                if let remark = try await loggingRemark(on: role, session) {
                    remarks.append(remark)
                }
                continue
            }
            remarks.append(
                "uses role \(role.name) for \(role.purpose.rawValue), which was there: it is granted to, not altered"
            )
            if role.password != nil {
                remarks.append(
                    "the password for \(role.name) was not set: Oversync did not create this role")
            }
        }
        return remarks
    }

    /// Writes into the database's records which role each service has, where they do not say so.
    private func record(_ roles: [RoleRequest.Resolved], _ existing: Existing) async throws {
        let recorded = try await RoleGrants.installed(on: connection)
        for role in roles {
            let (name, isManaged) = (role.name.description, existing.isManaged(role))
            if recorded.contains(where: {
                $0.purpose == role.purpose && $0.name == name && $0.isManaged == isManaged
            }) {
                continue
            }
            try await run.execute(
                BoundStatement(
                    RoleStatements.record,
                    [.text(role.purpose.rawValue), .text(name), .bool(isManaged)]),
                for: "Records \(name) as the role for \(role.purpose.rawValue)")
        }
    }

    private static func remark(on former: InstalledRole, replacedBy role: String) -> String {
        "role \(role) replaces \(former.name) for \(former.purpose.rawValue): \(former.name) keeps "
            + "its rights for now. Restart the services as \(role), then run oversync migrate "
            + "again, which revokes them"
    }

    /// Migrators of other databases make the same roles: the second one finds them.
    private func create(
        _ roles: [RoleRequest.Resolved], _ session: Session
    ) async throws -> [String] {
        var created: [String] = []
        let existing = try await readExisting(roles)
        let missing = Set(roles.map(\.name.description)).subtracting(existing.managed.keys).sorted()
        guard missing.isEmpty || session.mayCreateRoles else {
            throw Self.mayNotCreate(missing, session.user)
        }
        for name in missing {
            // In one transaction: nobody sees the role without its comment.
            try await repeating {
                guard try await readExisting(roles).managed[name] == nil else { return }
                try await run.transaction {
                    try await run.execute(
                        """
                        CREATE ROLE \(quoted(name)) LOGIN;
                        COMMENT ON ROLE \(quoted(name)) IS \(literal(RoleStatements.comment));
                        """, for: "Role \(name), which a service connects as")
                }
                created.append("created role \(name)")
            }
        }
        return created
    }

    private static func mayNotCreate(_ missing: [String], _ user: String) -> RoleError {
        let statements = missing.map { "  CREATE ROLE \(quoted($0)) LOGIN;" }
        return RoleError(
            "the role \(user) may not create roles, and there is no \(missing.joined(separator: ", ")). Let an "
                + "administrator run this (with a PASSWORD where the server asks for one), then run oversync "
                + "migrate again:\n" + statements.joined(separator: "\n"))
    }

    /// The session settings and the password of a role that Oversync created.
    private func configure(
        _ role: RoleRequest.Resolved, _ session: Session
    ) async throws {
        do {
            try await repeating {
                try await run.transaction {
                    try await setSession(of: role, session)
                    try await setPassword(of: role)
                }
            }
        } catch let error as PostgresError where error.sqlState == .insufficientPrivilege {
            throw RoleError(
                "the role \(session.user) may not alter \(role.name), which another owner's oversync migrate created: "
                    + "connect as that one, or as one with CREATEROLE")
        }
    }

    private func setSession(of role: RoleRequest.Resolved, _ session: Session) async throws {
        var wanted = role.purpose.sessionSettings
        if session.isSuperuser { wanted.merge(role.purpose.logSettings) { first, _ in first } }
        let statements = try await statements(toSet: wanted, for: role, session)
        guard !statements.isEmpty else { return }
        try await run.execute(
            statements.joined(separator: "\n"),
            for: "Session settings of \(role.name) in this database")
    }

    /// A statement for each setting that the role does not have in this database.
    private func statements(
        toSet wanted: [String: String], for role: RoleRequest.Resolved, _ session: Session
    ) async throws -> [String] {
        let settings = RoleStatements.ReadSettings(role: role.name.description)
        let present = Set(try await connection.run(settings).all().map { $0.lowercased() })
        let place = "ALTER ROLE \(role.name.quoted) IN DATABASE \(quoted(session.database))"
        return wanted.sorted { $0.key < $1.key }
            .filter { !present.contains("\($0.key)=\($0.value)".lowercased()) }
            .map { "\(place) SET \($0.key) = \(literal($0.value));" }
    }

    /// What a superuser has to do where this role may not.
    private func loggingRemark(
        on role: RoleRequest.Resolved, _ session: Session
    ) async throws -> String? {
        guard !session.isSuperuser else { return nil }
        let missing = try await statements(toSet: role.purpose.logSettings, for: role, session)
        guard !missing.isEmpty else { return nil }
        return
            "PostgreSQL writes the rows that tables refuse into its log, for \(role.name) may not "
            + "set it otherwise. Let a superuser run:\n  " + missing.joined(separator: "\n  ")
    }

    /// Encrypted here: the server may write statements to its log.
    private func setPassword(of role: RoleRequest.Resolved) async throws {
        guard let password = role.password else { return }
        let encrypted = try connection.encryptedPassword(password, of: role.name.description)
        let statement = "ALTER ROLE \(role.name.quoted) PASSWORD "
        try await run.execute(
            statement + literal(encrypted),
            for: "Password of \(role.name), which only oversync migrate sets", isRehearsed: false,
            shown: "-- \(statement)'********';")
    }

    private func readSession() async throws(PostgresError) -> Session {
        try await connection.run(RoleStatements.ReadSession()).one()
    }

    private func readExisting(
        _ roles: [RoleRequest.Resolved]
    ) async throws(PostgresError) -> Existing {
        var rows = try await connection.run(
            RoleStatements.ReadExisting(names: roles.map(\.name.description)))
        var existing = Existing()
        while let (name, isManaged) = try rows.next() { existing.managed[name] = isManaged }
        return existing
    }

    private func repeating(_ step: () async throws -> Void) async throws {
        for attempt in 1... {
            do {
                return try await step()
            } catch let error as PostgresError {
                guard let state = error.sqlState, Self.racing.contains(state),
                    attempt < Self.maximumAttempts
                else { throw error }
            }
        }
    }
}

extension ServiceRole {
    /// How long a transaction may stay open and idle, in milliseconds: a service's transactions
    /// never wait for anybody.
    private static let idleTransactionMilliseconds = 30_000

    /// How long one statement may take where the service does not say it itself, in milliseconds. Pruning may take
    /// any time.
    private var statementMilliseconds: Int? {
        switch self {
        case .upload, .download: 15_000
        case .auth: 5_000
        case .maintenance: nil
        }
    }

    /// What a session of this role is set to in the database, also behind a pooler.
    var sessionSettings: [String: String] {
        var settings = PostgresConfiguration.serviceSession
        settings["idle_in_transaction_session_timeout"] = "\(Self.idleTransactionMilliseconds)"
        if let statementMilliseconds { settings["statement_timeout"] = "\(statementMilliseconds)" }
        return settings
    }

    /// What keeps the contents of rows that business tables refuse out of PostgreSQL's log, which
    /// quotes them with the error. Only a superuser may set it. Devices get the error, and
    /// `sync.materialize_failures` has it.
    var logSettings: [String: String] {
        guard self == .upload else { return [:] }
        return [
            "log_error_verbosity": "terse", "log_min_error_statement": "fatal",
            "log_parameter_max_length_on_error": "0",
        ]
    }
}
