import Model
import ServiceKit
import Telemetry

/// The gateway's own keys.
package struct GatewaySettings: Sendable {
    static let hostSetting = Setting.host(
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
    static let strictTransportSetting = Setting.integer(
        "OVERSYNC_HSTS_SECONDS", "how long browsers come back with TLS alone; 0: they forget it",
        default: 365 * 86_400, in: 0...(10 * 365 * 86_400), unit: "seconds")

    /// What the gateway reads in addition to what every service reads.
    package static let all: [any DescribedSetting] =
        [
            hostSetting, portSetting, certificateSetting, keySetting, bodySetting, timeoutSetting,
            strictTransportSetting,
        ] + ClientCertificateSettings.all + AdminDoor.all + TokenCheckSettings.all
        + LimitSettings.all + [
            TokenSettings.adminRole, CommonSettings.maximumPageRows, CommonSettings.idlePolls,
            TokenSettings.issuer,
            TokenSettings.audience, TokenSettings.developmentSignIn,
            PeerSettings.serviceUsers,
        ]

    /// Where what can change while the gateway runs is read again.
    let configuration: Configuration
    let host: String
    let port: Int
    let tls: TLSIdentity.Files
    let tokens: TokenCheckSettings
    let maximumBodyBytes: Int
    let maximumPageRows: Int
    /// Which of the downloads without news are logged.
    let idlePolls: LogSample
    /// The name that administrators know this gateway by.
    let name: String
    let requestTimeout: Duration
    let strictTransportSeconds: Int
    let allowsDevelopmentSignIn: Bool
    let limits: LimitSettings
    let adminRole: String
    let adminDoor: AdminDoor
    /// As which users the services run.
    let serviceUsers: ServiceUsers

    package init(_ configuration: Configuration) throws(ConfigurationError) {
        self.configuration = configuration
        host = try configuration.value(Self.hostSetting)
        port = try configuration.value(Self.portSetting)
        tls = try Self.tls(configuration)
        tokens = try TokenCheckSettings(configuration)
        maximumBodyBytes = try configuration.value(Self.bodySetting)
        maximumPageRows = try configuration.value(CommonSettings.maximumPageRows)
        idlePolls = LogSample(every: try configuration.value(CommonSettings.idlePolls))
        name = try configuration.value(CommonSettings.replica)
        requestTimeout = .seconds(try configuration.value(Self.timeoutSetting))
        strictTransportSeconds = try configuration.value(Self.strictTransportSetting)
        limits = try LimitSettings(configuration)
        adminRole = try configuration.value(TokenSettings.adminRole)
        adminDoor = try AdminDoor(configuration)
        serviceUsers = try configuration.value(PeerSettings.serviceUsers)
        allowsDevelopmentSignIn = try configuration.value(TokenSettings.developmentSignIn)
        if allowsDevelopmentSignIn, !LoopbackHost.isLoopback(host) {
            throw ConfigurationError(
                key: TokenSettings.developmentSignIn.key,
                reason: "lets anyone sign in as anyone, so it is for this machine alone: set "
                    + "\(Self.hostSetting.key) to 127.0.0.1, not \(host), or switch it off")
        }
    }

    private static func tls(
        _ configuration: Configuration
    ) throws(ConfigurationError) -> TLSIdentity.Files {
        TLSIdentity.Files(
            certificate: try configuration.value(certificateSetting),
            key: try configuration.value(keySetting),
            clients: try configuration.optional(ClientCertificateSettings.clients),
            administrators: try configuration.optional(ClientCertificateSettings.administrators))
    }

    /// What is wrong with the values together, and with the files that they name.
    package static func problems(_ configuration: Configuration) -> [ConfigurationError] {
        var problems: [ConfigurationError] = []
        do throws(ConfigurationError) {
            problems += TLSIdentity.problems(try tls(configuration))
        } catch {
            problems.append(error)
        }
        problems += TokenCheckSettings.issuerProblems(configuration)
        do throws(ConfigurationError) {
            problems += try GatewaySettings(configuration).tokens.problems
        } catch {
            // The first of what is listed already.
            if !problems.contains(error) { problems.append(error) }
        }
        return problems
    }
}
