import Foundation
import Programs
import Testing

/// A way to configure a service so that it cannot run.
struct Mistake: Sendable, CustomTestStringConvertible {
    let testDescription: String
    /// The setting that the service must name.
    let setting: String
    let isOf: @Sendable (ServiceName) -> Bool
    /// Whether it shows without starting anything.
    var isForeseen = true
    /// What is set otherwise than in a good configuration; nil: not set.
    let environment: @Sendable (TestFolder) async throws -> [String: String?]

    init(
        _ description: String, _ setting: String,
        of isOf: @escaping @Sendable (ServiceName) -> Bool = { _ in true },
        _ environment: @escaping @Sendable (TestFolder) async throws -> [String: String?]
    ) {
        testDescription = description
        self.setting = setting
        self.isOf = isOf
        self.environment = environment
    }

    /// One value of the setting itself.
    init(
        _ description: String, _ setting: String,
        of isOf: @escaping @Sendable (ServiceName) -> Bool = { _ in true }, value: String?
    ) {
        self.init(description, setting, of: isOf) { _ in [setting: value] }
    }

    private var unforeseen: Mistake {
        var mistake = self
        mistake.isForeseen = false
        return mistake
    }

    static let all = common + sockets + database + tls + telemetry

    private static let common = [
        Mistake("a port that is a word", "OVERSYNC_ADMIN_PORT", value: "http"),
        Mistake("an address of another machine", "OVERSYNC_ADMIN_HOST", value: "192.0.2.1")
            .unforeseen,
        Mistake("a log level that is none", "OVERSYNC_LOG_LEVEL", value: "loud"),
        Mistake("a file that is not there", "OVERSYNC_LOG_LEVEL_FILE", value: "/nowhere/level"),
        Mistake("a value and a file", "OVERSYNC_LOG_LEVEL") { folder in
            [
                "OVERSYNC_LOG_LEVEL": "info",
                "OVERSYNC_LOG_LEVEL_FILE": try folder.write("info", "level"),
            ]
        },
        Mistake(
            "no master key", "OVERSYNC_AUTH_MASTER_KEY", of: { $0 == .auth }, value: nil),
        Mistake(
            "a master key that is too short", "OVERSYNC_AUTH_MASTER_KEY", of: { $0 == .auth },
            value: "short"),
        Mistake(
            "a former master key that is too short", "OVERSYNC_AUTH_MASTER_KEY_PREVIOUS",
            of: { $0 == .auth }, value: "short"),
        Mistake(
            "clients without secrets", "OVERSYNC_AUTH_CLIENTS", of: { $0 == .auth },
            value: "clients: [{id: shop}]"),
        Mistake(
            "a secret that is too short", "OVERSYNC_JWT_HS256_SECRET", of: { $0 == .gateway },
            value: "short"),
        Mistake(
            "an issuer without keys", "OVERSYNC_ISSUERS", of: { $0 == .gateway },
            value: "{issuer: a, name: a, audience: b}"),
        Mistake("an issuer whose keys are not there", "OVERSYNC_ISSUERS", of: { $0 == .gateway }) {
            folder in
            [
                "OVERSYNC_ISSUERS":
                    "{issuer: a, name: a, audience: b, jwks_file: \(folder.path)/none}"
            ]
        },
        Mistake(
            "sign-in as anyone from anywhere", "OVERSYNC_DEV_SIGN_IN", of: { $0 == .gateway }
        ) { _ in
            ["OVERSYNC_DEV_SIGN_IN": "true", "OVERSYNC_GATEWAY_HOST": "0.0.0.0"]
        },
    ]

    private static let sockets = [
        Mistake("a replica's name with a slash", "OVERSYNC_REPLICA", value: "a/b"),
        Mistake("a run directory below a file", "OVERSYNC_RUN", value: "/dev/null/run"),
        Mistake("a run directory that cannot be made", "OVERSYNC_RUN", of: \.hasSocket) { _ in
            ["OVERSYNC_RUN": "/proc/oversync"]
        }.unforeseen,
        Mistake("a run directory that is a file", "OVERSYNC_RUN") { folder in
            ["OVERSYNC_RUN": try folder.write("", "file")]
        },
        Mistake("a run directory with a long path", "OVERSYNC_RUN", of: \.hasSocket) { folder in
            ["OVERSYNC_RUN": folder.path + "/" + String(repeating: "d", count: 90)]
        },
        Mistake("a long name in a long path", "OVERSYNC_REPLICA", of: \.hasSocket) { folder in
            [
                "OVERSYNC_RUN": folder.path + "/ddddddddd",
                "OVERSYNC_REPLICA": String(repeating: "r", count: 64),
            ]
        },
    ]

    private static let database: [Mistake] = [
        Mistake("no database", "OVERSYNC_DATABASE_URL", of: \.hasDatabase, value: nil),
        Mistake(
            "another kind of database", "OVERSYNC_DATABASE_URL", of: \.hasDatabase,
            value: "mysql://ann@db/app"),
        url("a port that is a word", "host=db user=ann port=bad"),
        url("an unknown sslmode", "postgresql://ann@db/app?sslmode=on"),
        url("unknown session attributes", "postgresql://ann@db/app?target_session_attrs=x"),
        url("a number that is none", "postgresql://ann@db/app?keepalives_idle=long"),
        url(
            "no root certificate",
            "postgresql://ann@db/app?sslmode=verify-full&sslrootcert=/nowhere/ca.pem"),
        Mistake(
            "a password file that is not there", "OVERSYNC_DATABASE_PASSWORD_FILE",
            of: \.hasDatabase, value: "/nowhere/password"),
        Mistake(
            "more connections at least than at most", "OVERSYNC_UPLOAD_POOL_MIN",
            of: { $0 == .upload }
        ) { _ in ["OVERSYNC_UPLOAD_POOL_MIN": "9", "OVERSYNC_UPLOAD_POOL_MAX": "8"] },
    ]

    private static func url(_ description: String, _ url: String) -> Mistake {
        Mistake(
            "\(description) in the connection string", "OVERSYNC_DATABASE_URL", of: \.hasDatabase,
            value: url)
    }

    private static let tls = [
        key("another certificate's key") { try TestCertificate(in: $0, "other").key },
        key("a key that is none") { try $0.write("not a key", "bad.key") },
        key("a key that is not there") { $0.path + "/absent.key" },
        key("an encrypted key") { folder in
            let plain = try TestCertificate(in: folder, "plain")
            let encrypt = Program(
                "openssl",
                [
                    "pkey", "-in", plain.key, "-aes256", "-passout", "pass:secret", "-out",
                    folder.path + "/encrypted.key",
                ])
            try #require(try await encrypt.run() == 0)
            return folder.path + "/encrypted.key"
        },
        certificate("an expired certificate") {
            try TestCertificate(in: $0, "expired", days: -1).certificate
        },
        certificate("a certificate that is none") { try $0.write("not a certificate", "bad.pem") },
        certificate("a certificate that is not there") { $0.path + "/absent.pem" },
        certificate("the certificate itself instead of its path") { folder in
            let file = try TestCertificate(in: folder, "other").certificate
            return try String(contentsOfFile: file, encoding: .utf8)
        },
        Mistake("no certificate", "OVERSYNC_TLS_CERTIFICATE", of: { $0 == .gateway }, value: nil),
        Mistake("no key", "OVERSYNC_TLS_KEY", of: { $0 == .gateway }, value: nil),
    ]

    private static let telemetry = [
        Mistake(
            "a protocol of collectors that is not spoken", "OTEL_EXPORTER_OTLP_PROTOCOL",
            value: "grpc"),
        Mistake(
            "a collector without a scheme", "OTEL_EXPORTER_OTLP_ENDPOINT", value: "collector:4318"),
        Mistake(
            "authorities of a collector that are none", "OTEL_EXPORTER_OTLP_CERTIFICATE"
        ) { ["OTEL_EXPORTER_OTLP_CERTIFICATE": try $0.write("no certificate", "otlp.pem")] },
    ]

    private static func key(
        _ description: String, _ path: @escaping @Sendable (TestFolder) async throws -> String
    ) -> Mistake {
        Mistake(description, "OVERSYNC_TLS_KEY", of: { $0 == .gateway }) {
            ["OVERSYNC_TLS_KEY": try await path($0)]
        }
    }

    private static func certificate(
        _ description: String, _ path: @escaping @Sendable (TestFolder) async throws -> String
    ) -> Mistake {
        Mistake(description, "OVERSYNC_TLS_CERTIFICATE", of: { $0 == .gateway }) {
            ["OVERSYNC_TLS_CERTIFICATE": try await path($0)]
        }
    }
}
