import DatabaseKit
import NIOCore
import OTLP
import Postgres
import Protos
import RPC
import ServiceKit
import ServiceLifecycle
import Sidecar
import SigningKeys
import Tokens

extension DatabaseSettings {
    /// Auth reads a few keys now and then.
    package static let auth = DatabaseSettings(service: "AUTH", maximum: 4, statementSeconds: 5)
}

/// The Auth service: holds the keys that sign tokens, issues tokens, publishes the keys that check them.
package enum AuthService {
    static let lifetime = Setting.integer(
        "OVERSYNC_TOKEN_LIFETIME_SECONDS", "how long a token is good", default: 900,
        in: 30...TokenMint.maximumLifetimeSeconds, unit: "seconds")
    static let rotationDays = Setting.integer(
        "OVERSYNC_KEY_ROTATION_DAYS",
        "age of the newest signing key at which Auth makes another one; unset: oversync keys does",
        in: 1...3650, unit: "days")
    static let callers = PeerSettings.callers(of: "AUTH", AuthRPC.names)
    private static let secondsPerDay = 86_400
    /// What Auth reads in addition to what every service reads.
    package static let settings: [any DescribedSetting] =
        [TokenSettings.masterKey, TokenSettings.previousMasterKey, lifetime, rotationDays]
        + [ClientBook.setting, callers, TokenSettings.adminRole]
        + DatabaseSettings.auth.all
        + [TokenSettings.issuer, TokenSettings.audience, TokenSettings.developmentSignIn]
    /// How long a gateway may go on with the keys it has, in seconds.
    static let keysMaximumAge: UInt32 = 60

    package static let name = "oversync-auth"
    package static let program = ServiceProgram(
        name: name,
        purpose: "holds the keys that sign tokens, and publishes the keys that check them",
        settings: settings, socketFolder: "auth",
        check: { DatabaseSettings.auth.problems(in: $0) + ClientBook.problems($0) })

    /// Does what the program's arguments say; without any, runs the service until a signal ends it.
    package static func run() async {
        await ServiceProcess.run(program, exporters: TelemetryExport.start) { process in
            let configuration = process.configuration
            let database = try DatabaseSettings.auth.database(process)
            let pool = database.pool
            let keys = KeyRing(
                pool: pool,
                store: KeyStore(
                    KeySeals(
                        current: try configuration.value(TokenSettings.masterKey),
                        previous: try configuration.optional(TokenSettings.previousMasterKey)),
                    by: .service(name, on: ReplicaName.ofThisHost)),
                rotationAge: try configuration.optional(rotationDays).map {
                    Double($0 * secondsPerDay)
                }, logger: process.logger)
            keys.report(to: process.metrics)
            let issue = IssueToken(
                keys: keys, audit: AuthAudit(pool: pool, logger: process.logger),
                issuer: try configuration.optional(TokenSettings.issuer)
                    ?? TokenSettings.defaultName,
                audience: try configuration.optional(TokenSettings.audience)
                    ?? TokenSettings.defaultName,
                lifetime: try configuration.value(lifetime),
                allowsDevelopmentSignIn: try configuration.value(TokenSettings.developmentSignIn),
                logger: process.logger)
            var router = RPCRouter()
            router.on(AuthRPC.getKeys) { _, _, _ in
                var reply = GetKeysReply()
                reply.jwks = try await keys.forCaller().jwks
                reply.maxAgeSeconds = keysMaximumAge
                return RPCReply(reply)
            }
            router.on(AuthRPC.issueToken) { request, _, context in try await issue(request, context)
            }
            router.on(AuthRPC.developmentSignIn) { request, _, context in
                try await issue.signIn(request, context)
            }
            let clients = try ClientBook(
                configuration, lifetime: try configuration.value(lifetime))
            let issueToClient = IssueClientToken(clients: clients, issue: issue)
            router.on(AuthRPC.issueClientToken) { request, _, context in
                try await issueToClient(request, context)
            }
            try serveAdministrators(pool, configuration, &router)
            process.reloadables.add([reloadable(clients, configuration)])
            var rpcLimits = RPCLimits()
            rpcLimits.peers = try configuration.value(callers)
            let server = RPCServer(
                directory: try configuration.value(CommonSettings.runDirectory) + "/auth",
                replica: try configuration.value(CommonSettings.replica), router: router,
                limits: rpcLimits, hello: BuildInfo.hello, status: Readiness.starting,
                currentStatus: { process.readiness.status },
                logger: process.logger, observer: RPCMetrics(process.metrics)
            )
            process.readiness.onChange { server.publish($0) }
            let probe = try database.probe(
                DatabaseNeeds(
                    layout: BuildInfo.layout, in: .auth, privileges: AuthPrivileges.all,
                    writes: true))
            return (
                [
                    pool, database.poolerCheck, probe.connection, keys,
                    server,
                    configurationRecord(
                        process, pool, clients, try configuration.value(TokenSettings.masterKey)),
                ],
                [probe.check, ReadinessCheck("signing keys") { await keys.problem() }]
            )
        }
    }

    private static func serveAdministrators(
        _ pool: PostgresPool, _ configuration: Configuration, _ router: inout RPCRouter
    ) throws(ConfigurationError) {
        let list = ListKeys(
            pool: pool,
            administrators: Administrators(
                role: try configuration.value(TokenSettings.adminRole)))
        router.on(AuthRPC.listKeys) { _, _, context in try await list(context) }
        router.onReadPool(of: pool)
    }

    private static func reloadable(
        _ clients: ClientBook, _ configuration: Configuration
    ) -> Reloadable {
        Reloadable("token clients", files: [configuration.file(of: ClientBook.setting.key)]) {
            () throws(ConfigurationError) in try clients.reload(configuration)
        }
    }

    private static func configurationRecord(
        _ process: ServiceProcess, _ pool: PostgresPool, _ clients: ClientBook, _ key: String
    ) -> ConfigurationRecord {
        let shown = ConfigurationRecord.Shown(changes: clients.changes) {
            clients.shown(by: key)
        }
        return ConfigurationRecord(process, showing: shown) { host, settings, deadline in
            let statement = AuditStatements.RecordConfigurationOfAuth(
                host: host, settings: settings)
            _ = try await pool.withConnection(deadline: deadline) {
                try await $0.run(statement, deadline: deadline)
            }
        }
    }
}
