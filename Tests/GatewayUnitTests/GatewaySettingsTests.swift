import Foundation
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
        #expect(settings.tokens.hs256Secrets.isEmpty && settings.tokens.issuers.isEmpty)
        #expect(settings.tokens.rules == TokenRules())
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
        ("OVERSYNC_JWT_HS256_SECRET_PREVIOUS", "short"), ("OVERSYNC_ISSUERS", "issuer: a"),
        ("OVERSYNC_JWT_MAX_LIFETIME_SECONDS", "59"), ("OVERSYNC_JWT_STRICT", "maybe"),
    ])
    func `a value out of bounds is refused by its key`(key: String, value: String) {
        #expect {
            try settings([key: value])
        } throws: { error in
            (error as? ConfigurationError)?.key == key
        }
    }

    @Test func `sign-in as anyone is for this machine alone`() throws {
        for host in ["127.0.0.1", "127.1.2.3", "::1", "localhost"] {
            let settings = try settings([
                "OVERSYNC_DEV_SIGN_IN": "1", "OVERSYNC_GATEWAY_HOST": host,
            ])
            #expect(settings.allowsDevelopmentSignIn)
        }
        for host in ["0.0.0.0", "::", "192.0.2.1", "gateway.example.com", "127.0.0.1.example.com"] {
            let environment = ["OVERSYNC_DEV_SIGN_IN": "1", "OVERSYNC_GATEWAY_HOST": host]
            #expect {
                try settings(environment)
            } throws: { error in
                (error as? ConfigurationError)?.key == "OVERSYNC_DEV_SIGN_IN"
            }
            #expect(try settings(["OVERSYNC_GATEWAY_HOST": host]).host == host)
        }
    }

    @Test func `two secrets count at once, and the same one twice counts once`() throws {
        let (new, old) = ("the new secret", "the old secret")
        func secrets(_ first: String?, _ second: String?) throws -> [String] {
            var environment: [String: String] = [:]
            environment["OVERSYNC_JWT_HS256_SECRET"] = first
            environment["OVERSYNC_JWT_HS256_SECRET_PREVIOUS"] = second
            return try settings(environment).tokens.hs256Secrets
        }
        #expect(try secrets(new, old) == [new, old])
        #expect(try secrets(new, new) == [new])
        #expect(try secrets(nil, old) == [old])
    }

    @Test func `a short secret is warned of, and refused where that is set`() throws {
        let key = "OVERSYNC_JWT_HS256_SECRET"
        for length in [31, 32] {
            let secret = String(repeating: "s", count: length)
            let environment = [key: secret]
            #expect(try settings(environment).tokens.hs256Secrets == [secret])
            let warnings = TokenCheckSettings.suspicions(Configuration(environment: environment))
            #expect(warnings.isEmpty == (length == 32))
            #expect(!warnings.contains { $0.contains(secret) })
            let strict = environment.merging(["OVERSYNC_JWT_STRICT": "true"]) { $1 }
            if length == 32 {
                #expect(try settings(strict).tokens.rules.isStrict)
            } else {
                #expect {
                    try settings(strict)
                } throws: { error in
                    (error as? ConfigurationError)?.key == key
                }
            }
        }
    }

    @Test func `an issuer's administrators are not those of Oversync`() throws {
        for role in [nil, "boss"] {
            var environment = [
                "OVERSYNC_ISSUERS": "{name: acme, issuer: a, audience: b, jwks_file: /k}"
            ]
            environment["OVERSYNC_ADMIN_ROLE"] = role
            let issuer = try #require(try settings(environment).tokens.issuers.first)
            #expect(issuer.withheldRole == role ?? "admin")
        }
    }

    @Test func `files of issuers that cannot be used are named before anything starts`() throws {
        let folder = NSTemporaryDirectory() + "issuers-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try "no certificate".write(
            toFile: folder + "/ca.pem", atomically: true, encoding: .utf8)
        func problems(_ keys: String) throws -> [String] {
            let yaml = "{issuer: a, name: acme, audience: b, \(keys)}"
            return try settings(["OVERSYNC_ISSUERS": yaml]).tokens.problems.map(\.description)
        }
        #expect(try problems("jwks_file: \(folder)/none.json").count == 1)
        #expect(try problems("jwks_file: \(folder)/ca.pem").isEmpty)
        #expect(
            try problems("jwks_url: \"https://a/b\", ca_file: \(folder)/ca.pem") == [
                "OVERSYNC_ISSUERS acme: ca_file \(folder)/ca.pem is not a readable PEM certificate"
            ])
        #expect(try problems("jwks_url: \"https://a/b\"").isEmpty)
    }
}
