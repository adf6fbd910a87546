import Foundation
import LocalPostgres
import Logging
import OperatorKit
import Postgres
import ServiceLifecycle
import Sidecar
import Synchronization
import UnixSignals

/// The whole product on one machine: PostgreSQL, and every service as a process of its own.
package struct Stack: Sendable {
    /// What to run.
    package struct Plan: Sendable {
        package var directory: StackDirectory
        /// Whether what an earlier run left in the folder is removed first.
        package var startsEmpty = false
        /// Port of the gateway on loopback; 0 lets the system choose one.
        package var port = 8443
        package var downloadReplicas = 1
        /// The first of the ports of the services' admin listeners: of the gateway, of Auth, of
        /// Upload, and of each replica of Download; nil lets the system choose them.
        package var adminPorts: Int?
        /// Text of `oversync.yaml`.
        package var registrations: String
        /// SQL that makes the business tables; must be safe to run again.
        package var businessSchema: String
        /// More environment for every service.
        package var environment: [String: String] = [:]
        /// More environment for one service, such as `gateway`, or one replica, such as `download-2`.
        package var environmentOf: [String: [String: String]] = [:]
        /// Most files that a service, such as `gateway`, may have open; the others inherit this
        /// process's own limit.
        package var openFilesOf: [String: Int] = [:]
        /// Users of the system that the services run as, which only root can give them; nil runs
        /// them as this process's own.
        package var users: ServiceUsers?
        /// Partitions of the log and of the states of rows; nil leaves them as they are.
        package var partitions: Int?
        /// PostgreSQL's settings beyond its defaults.
        package var postgresSettings: [String: String] = [:]
        /// A running stack whose database this one uses too, as on another host; nil runs a PostgreSQL of its own.
        package var companion: Companion?

        package init(directory: StackDirectory, registrations: String, businessSchema: String) {
            self.directory = directory
            self.registrations = registrations
            self.businessSchema = businessSchema
        }

        /// - Parameter replica: from 1.
        /// - Returns: the port of a service's admin listener; nil if the system chooses it.
        func adminPort(of service: String, replica: Int) -> Int? {
            guard let adminPorts, let place = Stack.adminOrder.firstIndex(of: service) else {
                return nil
            }
            return adminPorts + place + replica - 1
        }
    }

    /// The services in the order of their admin ports.
    private static let adminOrder = ["gateway", "auth", "upload", "download"]

    /// What two stacks with one database share.
    package struct Companion: Sendable {
        let postgres: LocalPostgres
        /// Certificates and secrets are here.
        let directory: StackDirectory
    }

    package static let databaseName = "oversync"

    package let plan: Plan
    package let address: StackAddress
    package let services: [any Service]
    package let postgres: LocalPostgres
    private let certificates: DevelopmentCertificates
    /// Held as long as the stack is.
    private let claim: StackClaim

    /// Prepares everything that must be there before the services start: cluster, database, tables, sidecar,
    /// certificates, secrets. Safe to repeat on what an earlier run left.
    package init(_ plan: Plan, logger: Logger) async throws {
        var plan = plan
        let directory = plan.directory
        claim = try StackClaim(directory)
        if plan.startsEmpty { try claim.clear(directory) }
        try directory.create()
        if plan.port == 0 {
            plan.port = try FreePort.find()
        } else {
            try FreePort.expect(plan.port)
        }
        self.plan = plan
        let shared = plan.companion?.directory ?? directory
        certificates = try DevelopmentCertificates(in: shared.certificates)
        postgres = try await Self.postgres(plan, logger)
        let database = postgres.connectionURL(database: Self.databaseName)
        try await Self.prepare(plan, postgres, database)
        address = StackAddress(
            gateway: "https://127.0.0.1:\(plan.port)", authority: certificates.authority,
            database: database,
            sockets: directory.sockets, hs256SecretFile: try shared.secret("jwt-hs256"),
            processID: getpid())
        services = try Self.services(plan, address, certificates, postgres, logger)
        try plan.users?.prepare(directory, certificates, sockets: postgres.socketDirectory)
    }

    /// For the plan of a second stack.
    package var companion: Companion { Companion(postgres: postgres, directory: plan.directory) }

    /// Runs until `body` returns.
    ///
    /// - Throws: `StackInterrupted` when a signal ended it before.
    package func run<R: Sendable>(
        logger: Logger, _ body: @escaping @Sendable (StackAddress) async throws -> R
    )
        async throws -> R
    {
        let interruption = Interruption()
        // The last is the first to be told of a signal, before the services that `body` talks to end.
        var group = ServiceGroupConfiguration(
            services: (services + [interruption]).map { .init(service: $0) }, logger: logger)
        group.gracefulShutdownSignals = [.sigint, .sigterm]
        group.maximumGracefulShutdownDuration = SupervisedProcess.patience
        let running = ServiceGroup(configuration: group)
        return try await withThrowingTaskGroup(of: R?.self) { tasks in
            tasks.addTask {
                try await running.run()
                return nil
            }
            tasks.addTask {
                try await address.waitUntilReady()
                try address.save(to: plan.directory)
                return try await body(address)
            }
            defer { address.remove(from: plan.directory) }
            let first = await tasks.nextResult()
            let isInterrupted = interruption.hasCome
            await running.triggerGracefulShutdown()
            tasks.cancelAll()
            _ = await tasks.nextResult()
            switch first {
            case .success(let value?): return value
            case .failure(let error) where !isInterrupted: throw error
            default: throw StackInterrupted()
            }
        }
    }

    /// The plan's PostgreSQL, running.
    private static func postgres(_ plan: Plan, _ logger: Logger) async throws -> LocalPostgres {
        if let companion = plan.companion { return companion.postgres }
        let postgres = try await LocalPostgres(
            directory: plan.directory.postgres, settings: plan.postgresSettings)
        for remark in postgres.remarks { logger.notice("\(remark)") }
        try await postgres.start()
        try postgres.stopWhenThisProcessEnds(removingFiles: false)
        return postgres
    }

    private static func prepare(_ plan: Plan, _ postgres: LocalPostgres, _ database: String)
        async throws
    {
        let registrations = try RegistrationFile.parse(plan.registrations)
        try Data(plan.registrations.utf8).write(
            to: URL(fileURLWithPath: plan.directory.registrations), options: .atomic)
        try await withConnection(to: postgres.connectionURL()) { connection in
            let statement = Statement(
                name: "dev_database",
                sql: "SELECT 1 FROM pg_database WHERE datname = '\(databaseName)'")
            if try await connection.rows(statement, of: Int64.self).isEmpty {
                try await connection.execute(script: "CREATE DATABASE \(databaseName)")
            }
        }
        try await withConnection(to: database) { connection in
            do {
                try await connection.execute(script: plan.businessSchema)
            } catch let error as PostgresError {
                // The developer's own script: PostgreSQL's sentence says what is wrong with it.
                guard let server = error.serverError else { throw error }
                throw StackError(
                    "the SQL that creates the business tables fails: \(server.message) "
                        + "(SQLSTATE \(server.sqlState.rawValue)); it runs at every start, so "
                        + "say IF NOT EXISTS")
            }
            _ = try await Migrator(connection: connection).migrate()
            _ = try await RoleInstallation(connection: connection).apply()
            try await Registration.apply(registrations, on: connection)
            if let partitions = plan.partitions {
                try await Partitioning(count: partitions).apply(
                    in: MigrationRun(on: connection), report: { _ in })
            }
        }
    }

    private static func services(
        _ plan: Plan, _ address: StackAddress, _ certificates: DevelopmentCertificates,
        _ postgres: LocalPostgres, _ logger: Logger
    ) throws -> [any Service] {
        let log = try openLog(plan.directory.log)
        var common = ProcessInfo.processInfo.environment.filter {
            !$0.key.hasPrefix("OVERSYNC_") && !$0.key.hasPrefix("OTEL_")
        }
        common["OVERSYNC_RUN"] = address.sockets
        common["OVERSYNC_ADMIN_PORT"] = "0"
        common["OVERSYNC_STOP_WITH_STDIN"] = "true"
        common["OVERSYNC_DEV_SIGN_IN"] = "true"
        common.merge(plan.environment) { _, new in new }
        func process(_ service: String, replica: String = "1", _ own: [String: String]) throws
            -> SupervisedProcess
        {
            var environment = common.merging(own) { _, new in new }
            environment["OVERSYNC_REPLICA"] = replica
            let name = service + (replica == "1" ? "" : "-" + replica)
            if let port = plan.adminPort(of: service, replica: Int(replica) ?? 1) {
                environment["OVERSYNC_ADMIN_PORT"] = "\(port)"
            }
            environment.merge(plan.environmentOf[name] ?? [:]) { _, new in new }
            return SupervisedProcess(
                name: name,
                executable: try Executables.find("oversync-" + service), environment: environment,
                log: log, logPath: plan.directory.log,
                logger: logger, openFiles: plan.openFilesOf[name],
                user: try plan.users?.user(of: service))
        }
        func database(_ purpose: ServiceRole) -> [String: String] {
            let url = postgres.connectionURL(database: databaseName, role: purpose.defaultName)
            return ["OVERSYNC_DATABASE_URL": url]
        }
        var services: [any Service] =
            plan.companion == nil ? [ClusterService(postgres: postgres)] : []
        let shared = plan.companion?.directory ?? plan.directory
        services.append(
            try process(
                "auth",
                database(.auth).merging(
                    ["OVERSYNC_AUTH_MASTER_KEY_FILE": try shared.secret("auth-master-key")]) {
                        _, new in new
                    }))
        services.append(try process("upload", database(.upload)))
        for replica in 1...max(1, plan.downloadReplicas) {
            services.append(try process("download", replica: "\(replica)", database(.download)))
        }
        services.append(
            try process(
                "gateway",
                [
                    "OVERSYNC_GATEWAY_HOST": "127.0.0.1", "OVERSYNC_GATEWAY_PORT": "\(plan.port)",
                    "OVERSYNC_TLS_CERTIFICATE": certificates.certificate,
                    "OVERSYNC_TLS_KEY": certificates.key,
                    "OVERSYNC_JWT_HS256_SECRET_FILE": address.hs256SecretFile,
                ]))
        return services
    }

    private static func openLog(_ path: String) throws -> FileHandle {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o640)
        guard descriptor >= 0 else { throw StackError("cannot write \(path)") }
        return FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    }
}

/// A signal ended a stack before what it was started for was done.
package struct StackInterrupted: Error, CustomStringConvertible {
    package let description = "a signal ended the command before it was done"
}

/// Knows whether a signal has asked for the end.
private final class Interruption: Service {
    private let told = Mutex(false)

    var hasCome: Bool { told.withLock { $0 } }

    func run() async throws {
        try await gracefulShutdown()
        told.withLock { $0 = true }
    }
}

/// Stops the private PostgreSQL after everything that uses it.
struct ClusterService: Service {
    let postgres: LocalPostgres

    func run() async throws {
        try? await gracefulShutdown()
        try await postgres.stop(.fast)
    }
}
