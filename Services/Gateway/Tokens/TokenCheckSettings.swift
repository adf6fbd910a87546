import NIOSSL
import ServiceKit

/// How the gateway judges tokens.
struct TokenCheckSettings: Sendable {
    /// A shorter secret can be guessed from one token (RFC 7518 §3.2), in bytes.
    static let strictSecretBytes = 32
    /// What existing back ends have, in bytes.
    private static let minimumSecretBytes = 8

    static let secretSetting = Setting.secret(
        "OVERSYNC_JWT_HS256_SECRET",
        "secret of HS256 tokens from your own back end; unset refuses them",
        minimumBytes: minimumSecretBytes)
    static let previousSecretSetting = Setting.secret(
        "OVERSYNC_JWT_HS256_SECRET_PREVIOUS",
        "a second secret that is taken too, while back ends change over to the first",
        minimumBytes: minimumSecretBytes)
    static let skewSetting = Setting.integer(
        "OVERSYNC_JWT_SKEW_SECONDS",
        "how far the clocks of a token's issuer and the gateway may differ",
        default: 5, in: 0...300, unit: "seconds")
    static let lifetimeSetting = Setting.integer(
        "OVERSYNC_JWT_MAX_LIFETIME_SECONDS",
        "longest life of a token that is taken; unset takes any and warns over a day",
        in: 60...315_360_000, unit: "seconds")
    static let strictSetting = Setting.flag(
        "OVERSYNC_JWT_STRICT",
        "true refuses what this release only warns of: HS256 secrets under 32 bytes, tokens that "
            + "are good for longer than a day, tokens of Auth without iss or aud")
    static let issuersSetting = Setting.text(
        "OVERSYNC_ISSUERS", "other issuers whose tokens are taken, as YAML")

    static let secretSettings = [secretSetting, previousSecretSetting]
    static let all: [any DescribedSetting] = [
        secretSetting, previousSecretSetting, skewSetting, lifetimeSetting, strictSetting,
        issuersSetting,
    ]

    /// The newest first.
    let hs256Secrets: [String]
    let rules: TokenRules
    let issuers: [IssuerSettings]

    init(_ configuration: Configuration) throws(ConfigurationError) {
        hs256Secrets = try Self.secrets(configuration)
        rules = TokenRules(
            issuer: try configuration.optional(TokenSettings.issuer),
            audience: try configuration.optional(TokenSettings.audience),
            skewSeconds: try configuration.value(Self.skewSetting),
            maximumLifetimeSeconds: try configuration.optional(Self.lifetimeSetting),
            isStrict: try configuration.value(Self.strictSetting))
        issuers = try Self.issuers(configuration)
    }

    /// The secrets as they are now, whatever else is configured: they are read again by themselves.
    ///
    /// - Returns: the newest first.
    static func secrets(
        _ configuration: Configuration
    ) throws(ConfigurationError) -> [String] {
        let isStrict = try configuration.value(strictSetting)
        var secrets: [String] = []
        for setting in secretSettings {
            guard let secret = try configuration.optional(setting) else { continue }
            guard !isStrict || secret.utf8.count >= strictSecretBytes else {
                throw ConfigurationError(
                    key: setting.key,
                    reason: "must be at least \(strictSecretBytes) bytes long, not "
                        + "\(secret.utf8.count), as OVERSYNC_JWT_STRICT is true")
            }
            if !secrets.contains(secret) { secrets.append(secret) }
        }
        return secrets
    }

    private static func issuers(
        _ configuration: Configuration
    ) throws(ConfigurationError) -> [IssuerSettings] {
        guard let text = try configuration.optional(issuersSetting) else { return [] }
        let key = issuersSetting.key
        var all: [IssuerSettings]
        do { all = try IssuerFile.parse(text) } catch {
            throw ConfigurationError(key: key, reason: error.description)
        }
        let adminRole = try configuration.value(TokenSettings.adminRole)
        for index in all.indices { all[index].withheldRole = adminRole }
        let own = try configuration.optional(TokenSettings.issuer) ?? TokenSettings.defaultName
        if let twin = all.first(where: { $0.issuer == own }) {
            throw ConfigurationError(
                key: key,
                reason: "has the issuer \(twin.issuer), which the installation's own tokens name; "
                    + "change \(TokenSettings.issuer.key)")
        }
        return all
    }

    /// All that is wrong with what describes the issuers.
    static func issuerProblems(_ configuration: Configuration) -> [ConfigurationError] {
        guard let text = try? configuration.optional(issuersSetting) else { return [] }
        return IssuerFile.read(text).flaws.map {
            ConfigurationError(key: issuersSetting.key, reason: $0.description)
        }
    }

    /// Files of issuers that cannot be used, as far as that shows without asking anybody.
    var problems: [ConfigurationError] {
        let key = Self.issuersSetting.key
        return issuers.compactMap { issuer -> ConfigurationError? in
            switch issuer.keys {
            case .file(let path):
                do throws(SettingProblem) { _ = try SettingFile.bytes(of: path) } catch {
                    return ConfigurationError(
                        key: key, reason: "\(issuer.name): jwks_file \(error.reason)")
                }
            case .url(_, let authority?):
                let certificates = try? NIOSSLCertificate.fromPEMFile(authority)
                guard certificates?.isEmpty != false else { return nil }
                return ConfigurationError(
                    key: key,
                    reason: "\(issuer.name): ca_file \(authority) is not a readable PEM certificate"
                )
            case .url: break
            }
            return nil
        }
    }

    /// What the gateway runs with in this release, and an operator should know of.
    static func suspicions(_ configuration: Configuration) -> [String] {
        secretSettings.compactMap { setting -> String? in
            guard let secret = try? configuration.optional(setting),
                secret.utf8.count < strictSecretBytes
            else { return nil }
            return "\(setting.key) has \(secret.utf8.count) bytes; the next release refuses fewer "
                + "than \(strictSecretBytes), as OVERSYNC_JWT_STRICT=true does now"
        }
    }
}
