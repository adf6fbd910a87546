import Model
import ServiceKit

/// The gateway's own keys.
package struct GatewaySettings: Sendable {
    static let hostSetting = Setting.text(
        "OVERSYNC_GATEWAY_HOST", "address to listen on", default: "127.0.0.1")
    static let portSetting = Setting.integer(
        "OVERSYNC_GATEWAY_PORT", "port to listen on; 0 lets the system choose", default: 8443,
        in: 0...65_535)
    static let certificateSetting = Setting.text(
        "OVERSYNC_TLS_CERTIFICATE", "path of the certificate chain (PEM)", isRequired: true)
    static let keySetting = Setting.text(
        "OVERSYNC_TLS_KEY", "path of the certificate's private key (PEM)",
        isRequired: true)
    /// A shorter secret can be guessed from one token; RFC 7518 §3.2 wants 32 bytes, which existing back
    /// ends do not all have.
    static let secretSetting = Setting.secret(
        "OVERSYNC_JWT_HS256_SECRET",
        "secret of HS256 tokens from your own back end; unset refuses them",
        minimumBytes: 8)
    static let skewSetting = Setting.integer(
        "OVERSYNC_JWT_SKEW_SECONDS",
        "how far the clocks of a token's issuer and the gateway may differ",
        default: 5, in: 0...300, unit: "seconds")
    static let bodySetting = Setting.integer(
        "OVERSYNC_MAX_BODY_BYTES", "largest request body", default: WireLimits().bytesPerBody,
        in: 1024...(16 << 20), unit: "bytes")
    static let timeoutSetting = Setting.integer(
        "OVERSYNC_REQUEST_TIMEOUT_SECONDS",
        "longest time of one request, waiting for news not counted",
        default: 30, in: 1...600, unit: "seconds")

    /// What the gateway reads beside what every service does.
    package static let all: [any DescribedSetting] =
        [
            hostSetting, portSetting, certificateSetting, keySetting, secretSetting, skewSetting,
            bodySetting, timeoutSetting,
        ] + LimitSettings.all + [
            TokenSettings.adminRole, CommonSettings.maximumPageRows, TokenSettings.issuer,
            TokenSettings.audience, TokenSettings.developmentSignIn,
        ]

    /// Where what can change while the gateway runs is read again.
    let configuration: Configuration
    let host: String
    let port: Int
    let tls: TLSIdentity.Files
    let hs256Secret: String?
    let issuer: String?
    let audience: String?
    let skewSeconds: Int
    let maximumBodyBytes: Int
    let maximumPageRows: Int
    let requestTimeout: Duration
    let allowsDevelopmentSignIn: Bool
    let limits: LimitSettings
    let adminRole: String

    package init(_ configuration: Configuration) throws(ConfigurationError) {
        self.configuration = configuration
        host = try configuration.value(Self.hostSetting)
        port = try configuration.value(Self.portSetting)
        tls = TLSIdentity.Files(
            certificate: try configuration.value(Self.certificateSetting),
            key: try configuration.value(Self.keySetting))
        hs256Secret = try configuration.optional(Self.secretSetting)
        issuer = try configuration.optional(TokenSettings.issuer)
        audience = try configuration.optional(TokenSettings.audience)
        skewSeconds = try configuration.value(Self.skewSetting)
        maximumBodyBytes = try configuration.value(Self.bodySetting)
        maximumPageRows = try configuration.value(CommonSettings.maximumPageRows)
        requestTimeout = .seconds(try configuration.value(Self.timeoutSetting))
        limits = try LimitSettings(configuration)
        adminRole = try configuration.value(TokenSettings.adminRole)
        allowsDevelopmentSignIn = try configuration.value(TokenSettings.developmentSignIn)
    }
}
