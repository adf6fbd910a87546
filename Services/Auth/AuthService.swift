import DatabaseKit
import NIOCore
import Postgres
import Protos
import RPC
import ServiceKit
import ServiceLifecycle
import Tokens

extension DatabaseSettings {
    /// Auth reads a few keys now and then.
    package static let auth = DatabaseSettings(service: "AUTH", maximum: 4, statementSeconds: 5)
}

/// The Auth service: holds the keys that sign tokens, issues tokens, publishes the keys that check them.
package enum AuthService {
    static let masterKey = Setting.secret(
        "OVERSYNC_AUTH_MASTER_KEY", "secret that seals the signing keys in the database",
        minimumBytes: KeySeal.minimumMasterKeyBytes, isRequired: true)
    static let lifetime = Setting.integer(
        "OVERSYNC_TOKEN_LIFETIME_SECONDS", "how long a token is good", default: 900,
        in: 30...TokenMint.maximumLifetimeSeconds, unit: "seconds")
    /// What Auth reads beside what every service does.
    package static let settings: [any DescribedSetting] =
        [masterKey, lifetime] + DatabaseSettings.auth.all
        + [TokenSettings.issuer, TokenSettings.audience, TokenSettings.developmentSignIn]
    /// How long a gateway may go on with the keys it has, in seconds.
    static let keysMaximumAge: UInt32 = 60

    package static let program = ServiceProgram(
        name: "oversync-auth",
        purpose: "holds the keys that sign tokens, and publishes the keys that check them",
        settings: settings, socketFolder: "auth", check: DatabaseSettings.auth.problems)

    /// Does what the program's arguments say; without any, runs the service until a signal ends it.
    package static func run() async {
        await ServiceProcess.run(program) { process in
            let configuration = process.configuration
            let database = try DatabaseSettings.auth.database(process)
            let pool = database.pool
            let seal = KeySeal(masterKey: try configuration.value(masterKey))
            let keys = KeyRing(pool: pool, seal: seal, logger: process.logger)
            let issue = IssueToken(
                keys: keys,
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
            let server = RPCServer(
                directory: try configuration.value(CommonSettings.runDirectory) + "/auth",
                replica: try configuration.value(CommonSettings.replica), router: router,
                hello: BuildInfo.hello, status: Readiness.starting,
                currentStatus: { process.readiness.status },
                logger: process.logger, observer: RPCMetrics(process.metrics, service: process.name)
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
                ],
                [probe.check, ReadinessCheck("signing keys") { await keys.problem() }]
            )
        }
    }
}
