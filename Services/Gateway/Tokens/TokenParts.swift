import Foundation
import Logging
import RPC
import ServiceKit
import ServiceLifecycle
import Telemetry

/// What finds out whose a request is, made of the settings.
struct TokenParts: Sendable {
    let keys: KeySource
    let verifier: TokenVerifier
    /// What runs.
    let services: [any Service]
    let reloadables: [Reloadable]

    init(
        _ settings: GatewaySettings, auth: RPCClient, rejections: RejectedTokens?,
        whenRejected: @escaping @Sendable (CallerIdentity, TokenRejection.Cause) -> Void,
        _ metrics: MetricsRegistry, _ logger: Logger
    ) async {
        let cache = TokenCache()
        let keys = await KeySource(
            auth: auth, hs256Secrets: settings.tokens.hs256Secrets, cache: cache, logger: logger)
        let issuers = Issuers(settings.tokens.issuers, cache: cache, logger: logger)
        self.keys = keys
        verifier = TokenVerifier(
            keys: keys, cache: cache, issuers: issuers, rules: settings.tokens.rules,
            now: { Date().timeIntervalSince1970 }, rejections: rejections,
            observer: TokenObserver(metrics, logger: logger), whenRejected: whenRejected)
        services = [keys] + issuers.all.map(\.keys)
        reloadables =
            [Self.secrets(settings.configuration, keys)] + issuers.all.compactMap(Self.file)
        let all = [keys.published] + issuers.all.map(\.keys)
        metrics.gauge(
            "oversync_gateway_jwks_age_seconds",
            "Time since the keys that are in use were last read, by issuer", labels: ["issuer"]
        ) {
            all.compactMap { keys in keys.age.map { (["issuer": keys.name], $0.seconds) } }
        }
        metrics.gauge(
            "oversync_gateway_jwks_refresh_seconds",
            "How often the keys are read, by issuer", labels: ["issuer"]
        ) {
            all.map { keys in (["issuer": keys.name], keys.pace.refresh.seconds) }
        }
    }

    private static func secrets(_ configuration: Configuration, _ keys: KeySource) -> Reloadable {
        let files = TokenCheckSettings.secretSettings.map { configuration.file(of: $0.key) }
        return Reloadable("HS256 secret", files: files) { () throws(ConfigurationError) in
            await keys.use(hs256Secrets: try TokenCheckSettings.secrets(configuration))
        }
    }

    /// The keys of an issuer that has them in a file.
    private static func file(_ issuer: Issuer) -> Reloadable? {
        guard case .file(let path) = issuer.settings.keys else { return nil }
        return Reloadable("keys of \(issuer.keys.name)", files: [path]) {
            () throws(ConfigurationError) in
            do {
                return try await issuer.keys.readAgain()
            } catch {
                throw ConfigurationError(
                    key: TokenCheckSettings.issuersSetting.key,
                    reason: "names keys of \(issuer.keys.name) that cannot be read: \(error)")
            }
        }
    }
}
