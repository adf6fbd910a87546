import Foundation
import LocalPostgres
import Logging
import Postgres
import ServiceLifecycle
import Sidecar
import Synchronization
import UnixSignals

/// The whole product on one machine: a private PostgreSQL, and every service as a process of its own.
package struct Stack: Sendable {
    /// What to run.
    package struct Plan: Sendable {
        package var directory: StackDirectory
        /// Whether what an earlier run left in the folder is removed first.
        package var startsEmpty = false
        /// Port of the gateway on loopback; 0 lets the system choose one.
        package var port = 8443
        package var downloadReplicas = 1
        /// Text of `oversync.yaml`.
        package var registrations: String
        /// SQL that makes the business tables; must be safe to run again.
        package var businessSchema: String
        /// More environment for every service.
        package var environment: [String: String] = [:]
        /// PostgreSQL's settings beyond its defaults.
        package var postgresSettings: [String: String] = [:]

        package init(directory: StackDirectory, registrations: String, businessSchema: String) {
            self.directory = directory
            self.registrations = registrations
            self.businessSchema = businessSchema
        }
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
        certificates = try DevelopmentCertificates(in: directory.certificates)
        postgres = try await LocalPostgres(
            directory: directory.postgres, settings: plan.postgresSettings)
        for remark in postgres.remarks { logger.notice("\(remark)") }
        try await postgres.start()
        try postgres.stopWhenThisProcessEnds(removingFiles: false)
        let database = postgres.connectionURL(database: Self.databaseName)
        try await Self.prepare(plan, postgres, database)
        address = StackAddress(
            gateway: "https://127.0.0.1:\(plan.port)", authority: certificates.authority,
            database: database,
            sockets: directory.sockets, hs256SecretFile: try directory.secret("jwt-hs256"),
            processID: getpid())
        services = try Self.services(plan, address, certificates, postgres, logger)
    }

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
        group.maximumGracefulShutdownDuration = .seconds(SupervisedProcess.patience)
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

    private static func prepare(_ plan: Plan, _ postgres: LocalPostgres, _ database: String)
        async throws
    {
        let registrations = try RegistrationFile.parse(plan.registrations)
        try Data(plan.registrations.utf8).write(
            to: URL(fileURLWithPath: plan.directory.registrations), options: .atomic)
        try await withConnection(to: postgres.connectionURL()) { connection in
            let exists = try await connection.run(
                Command(
                    Statement(
                        name: "dev_database",
                        sql: "SELECT 1 FROM pg_database WHERE datname = '\(databaseName)'")))
            if exists.rowCount == 0 {
                try await connection.execute(script: "CREATE DATABASE \(databaseName)")
            }
        }
        try await withConnection(to: database) { connection in
            try await connection.execute(script: plan.businessSchema)
            _ = try await Migrator(connection: connection).migrate()
            try await Registration.apply(registrations, on: connection)
        }
    }

    private static func services(
        _ plan: Plan, _ address: StackAddress, _ certificates: DevelopmentCertificates,
        _ postgres: LocalPostgres, _ logger: Logger
    ) throws -> [any Service] {
        let log = try openLog(plan.directory.log)
        var common = ProcessInfo.processInfo.environment.filter { !$0.key.hasPrefix("OVERSYNC_") }
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
            return SupervisedProcess(
                name: service + (replica == "1" ? "" : "-" + replica),
                executable: try Executables.find("oversync-" + service), environment: environment,
                log: log, logPath: plan.directory.log,
                logger: logger)
        }
        let database = ["OVERSYNC_DATABASE_URL": address.database]
        var services: [any Service] = [ClusterService(postgres: postgres)]
        services.append(
            try process(
                "auth",
                database.merging(
                    ["OVERSYNC_AUTH_MASTER_KEY_FILE": try plan.directory.secret("auth-master-key")])
                { _, new in new }))
        services.append(try process("upload", database))
        for replica in 1...max(1, plan.downloadReplicas) {
            services.append(try process("download", replica: "\(replica)", database))
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
        guard descriptor >= 0 else { throw StackError("\(path) cannot be written") }
        return FileHandle(fileDescriptor: descriptor, closeOnDealloc: true)
    }
}

/// A signal ended a stack before what it was started for was done.
package struct StackInterrupted: Error, CustomStringConvertible {
    package let description = "ended by a signal before it was done"
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

/// Lends a connection that is closed afterwards.
package func withConnection<R>(
    to url: String, _ body: (PostgresConnection) async throws -> R
) async throws -> R {
    let configuration = try PostgresConfiguration(url: url, applicationName: "oversync")
    do {
        let connection = try await PostgresConnection.connect(
            configuration, logger: Logger(label: "oversync"))
        defer { connection.close() }
        return try await body(connection)
    } catch let error as PostgresError {
        guard let advice = advice(error, role: configuration.keywords["user"]) else { throw error }
        throw StackError(advice)
    }
}

/// What an operator does about an error that is no fault of the data; nil for any other.
private func advice(_ error: PostgresError, role: String?) -> String? {
    guard let server = error.serverError else { return nil }
    // Of these codes the sentence names tables, columns and functions, never values.
    let sentence = "\(server.message) (\(error))"
    switch server.sqlState {
    case .undefinedTable, .undefinedColumn, .undefinedSchema, .undefinedFunction:
        return "\(sentence): if this is the right database, run oversync migrate first"
    case .insufficientPrivilege:
        let who = role.map { "the role \($0)" } ?? "the connection's role"
        return
            "\(sentence): \(who) lacks this right: GRANT it, or connect as the owner of the tables"
    case .lockNotAvailable, .deadlockDetected:
        return "\(sentence): others were using the tables, nothing was changed: run it again"
    default: return nil
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
