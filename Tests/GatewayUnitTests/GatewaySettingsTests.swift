import ServiceKit
import Testing

@testable import Gateway

/// The gateway's configuration.
struct GatewaySettingsTests {
    private let required = ["OVERSYNC_TLS_CERTIFICATE": "/c", "OVERSYNC_TLS_KEY": "/k"]

    private func settings(_ more: [String: String] = [:]) throws -> GatewaySettings {
        try GatewaySettings(Configuration(environment: required.merging(more) { $1 }))
    }

    @Test func `only the certificate has no default, and nothing is open by default`() throws {
        let settings = try settings()
        #expect(settings.host == "127.0.0.1")
        #expect(settings.port == 8443)
        #expect(settings.maximumBodyBytes == 16 << 20)
        #expect(settings.hs256Secret == nil)
        #expect(!settings.allowsDevelopmentSignIn)
        #expect(settings.limits.bufferBytes == 256 << 20)
        #expect(settings.limits.userBufferBytes == 64 << 20)
        #expect(settings.limits.watchers == .init(total: 20_000, perUser: 500, perDevice: 4))
        #expect(settings.limits.longPolls == .init(total: 20_000, perUser: 500, perDevice: 8))
        #expect(settings.limits.stalledReader == .seconds(30))
        for key in required.keys {
            #expect {
                try self.settings([key: ""])
            } throws: { error in
                (error as? ConfigurationError)?.key == key
            }
        }
    }

    @Test(arguments: [
        ("OVERSYNC_GATEWAY_PORT", "70000"), ("OVERSYNC_GATEWAY_PORT", "https"),
        ("OVERSYNC_MAX_BODY_BYTES", "16777217"), ("OVERSYNC_MAX_BODY_BYTES", "0"),
        ("OVERSYNC_REQUEST_TIMEOUT_SECONDS", "0"), ("OVERSYNC_JWT_SKEW_SECONDS", "301"),
        ("OVERSYNC_MAX_BUFFER_BYTES", "0"), ("OVERSYNC_MAX_DEVICE_WATCHERS", "0"),
        ("OVERSYNC_STALLED_READER_SECONDS", "0"), ("OVERSYNC_MAX_CONNECTIONS", "-1"),
        ("OVERSYNC_JWT_HS256_SECRET", "short"), ("OVERSYNC_DEV_SIGN_IN", "maybe"),
    ])
    func `a value out of bounds is refused by its key`(key: String, value: String) {
        #expect {
            try settings([key: value])
        } throws: { error in
            (error as? ConfigurationError)?.key == key
        }
    }
}
