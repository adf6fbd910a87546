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
            hostSetting, portSetting, certificateSetting, keySetting, bodySetting, timeoutSetting,
        ] + AdminDoor.all + TokenCheckSettings.all + LimitSettings.all + [
            TokenSettings.adminRole, CommonSettings.maximumPageRows, TokenSettings.issuer,
            TokenSettings.audience, TokenSettings.developmentSignIn,
        ]

    /// Where what can change while the gateway runs is read again.
    let configuration: Configuration
    let host: String
    let port: Int
    let tls: TLSIdentity.Files
    let tokens: TokenCheckSettings
    let maximumBodyBytes: Int
    let maximumPageRows: Int
    let requestTimeout: Duration
    let allowsDevelopmentSignIn: Bool
    let limits: LimitSettings
    let adminRole: String
    let adminDoor: AdminDoor

    package init(_ configuration: Configuration) throws(ConfigurationError) {
        self.configuration = configuration
        host = try configuration.value(Self.hostSetting)
        port = try configuration.value(Self.portSetting)
        tls = TLSIdentity.Files(
            certificate: try configuration.value(Self.certificateSetting),
            key: try configuration.value(Self.keySetting))
        tokens = try TokenCheckSettings(configuration)
        maximumBodyBytes = try configuration.value(Self.bodySetting)
        maximumPageRows = try configuration.value(CommonSettings.maximumPageRows)
        requestTimeout = .seconds(try configuration.value(Self.timeoutSetting))
        limits = try LimitSettings(configuration)
        adminRole = try configuration.value(TokenSettings.adminRole)
        adminDoor = try AdminDoor(configuration)
        allowsDevelopmentSignIn = try configuration.value(TokenSettings.developmentSignIn)
        if allowsDevelopmentSignIn, !LoopbackHost.isLoopback(host) {
            throw ConfigurationError(
                key: TokenSettings.developmentSignIn.key,
                reason: "lets anyone sign in as anyone, so it is for this machine alone: set "
                    + "\(Self.hostSetting.key) to 127.0.0.1, not \(host), or switch it off")
        }
    }

    /// What is wrong with the values together, and with the files that they name.
    package static func problems(_ configuration: Configuration) -> [ConfigurationError] {
        do throws(ConfigurationError) {
            let settings = try GatewaySettings(configuration)
            return TLSIdentity.problems(settings.tls) + settings.tokens.problems
        } catch {
            return [error]
        }
    }
}
