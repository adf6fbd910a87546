@testable import AuthService
import Foundation
import Logging
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar
import SigningKeys
import Testing
import TestSupport
import Tokens

@Suite("Tokens for back ends")
struct ClientTokenTests {
    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    private static let template = DatabaseTemplate(name: "auth_clients") { url in
        let connection = try await PostgresConnection.connect(
            PostgresConfiguration(url: url), logger: quiet)
        defer { connection.close() }
        _ = try await Migrator(connection: connection).migrate()
        _ = try await RoleInstallation(connection: connection).apply()
    }

    private static let secrets = [ClientSecret(), ClientSecret(), ClientSecret()]
    private static var yaml: String {
        """
        clients:
          - id: shop
            secret_sha256: ["\(secrets[0].hash)", "\(secrets[1].hash)"]
            users: ["customer-*", "root"]
            devices: ["web-*"]
            roles: [editor, admin, K]
            max_lifetime_seconds: 600
          - id: other
            secret_sha256: ["\(secrets[2].hash)"]
            users: ["*"]
          - id: jobs
            certificate: ["dns:jobs.example.org", "subject:CN=jobs,O=Example"]
            users: ["*"]
          - id: both
            certificate: ["uri:spiffe://example.org/both"]
            secret_sha256: ["\(secrets[2].hash)"]
            users: ["*"]
        """
    }

    private struct Fixture {
        let owner: PostgresConnection
        let call: IssueClientToken

        func token(_ change: (inout IssueClientTokenRequest) -> Void = { _ in }) async throws
            -> IssueTokenReply
        {
            var request = IssueClientTokenRequest()
            request.clientID = "shop"
            request.clientSecret = secrets[0].text
            request.user = "customer-7"
            request.device = "web-1"
            change(&request)
            let context = CallContext(
                requestID: "t", deadline: .now + .seconds(30), clientAddress: "192.0.2.7")
            return try await call(request, context).message
        }

        func refusal(_ change: (inout IssueClientTokenRequest) -> Void) async throws -> String? {
            do {
                _ = try await token(change)
                return nil
            } catch let failure as RPCFailure {
                return "\(failure.status.rawValue) \(failure.code)"
            }
        }

        func recorded() async throws -> [String] {
            let rows = try await owner.run(
                Command(
                    Statement(
                        name: "recorded",
                        sql: """
                            SELECT concat_ws(' ', actor_kind, actor, host, target, outcome, code)
                            FROM sync.audit WHERE action = 'token.issue' ORDER BY id
                            """)))
            return try (0..<rows.rowCount).map { try rows.string($0, 0) }
        }
    }

    private static func with(_ body: (Fixture) async throws -> Void) async throws {
        try await TestDatabase.withDatabase(template: template) { url in
            let owner = try await PostgresConnection.connect(
                PostgresConfiguration(url: url), logger: quiet)
            defer { owner.close() }
            let pool = PostgresPool(
                try PostgresConfiguration(
                    url: TestDatabase.url(url, as: ServiceRole.auth.defaultName)),
                pool: try PoolConfiguration(), logger: quiet)
            let seals = KeySeals(current: String(repeating: "m", count: 32))
            let issue = IssueToken(
                keys: KeyRing(
                    pool: pool, store: KeyStore(seals, by: .service("oversync-auth", on: "t")),
                    logger: quiet),
                audit: AuthAudit(pool: pool, logger: quiet), issuer: "i", audience: "a",
                lifetime: 900, allowsDevelopmentSignIn: false, logger: quiet)
            let book = try ClientBook(
                Configuration(environment: ["OVERSYNC_AUTH_CLIENTS": yaml]), lifetime: 900)
            try await body(
                Fixture(owner: owner, call: IssueClientToken(clients: book, issue: issue)))
        }
    }

    private static func claims(_ token: String) throws -> [String: Any] {
        let part = try #require(token.split(separator: ".").dropFirst().first)
        var text = part.replacing("-", with: "+").replacing("_", with: "/")
        text += String(repeating: "=", count: (4 - text.count % 4) % 4)
        let data = try #require(Data(base64Encoded: String(text)))
        return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    }

    @Test("A client gets what it asks for, for as long as it may; each of two secrets is good")
    func granted() async throws {
        try await Self.with { database in
            for secret in Self.secrets.prefix(2) {
                let reply = try await database.token { $0.clientSecret = secret.text }
                // The service's 900 s are more than this client's tokens may have.
                #expect(reply.expiresIn == 600)
                let claims = try Self.claims(reply.token)
                #expect(claims["sub"] as? String == "customer-7")
                #expect(claims["did"] as? String == "web-1")
                #expect(claims["roles"] == nil)
            }
            #expect(try await database.token { $0.lifetimeSeconds = 60 }.expiresIn == 60)
            #expect(try await database.token { $0.lifetimeSeconds = .max }.expiresIn == 600)
            // Without roles a token is not a matter of the audit.
            #expect(try await database.recorded() == [])
            let reply = try await database.token { ($0.user, $0.roles) = ("root", ["admin"]) }
            #expect(try Self.claims(reply.token)["roles"] as? [String] == ["admin"])
            #expect(
                try await database.recorded() == ["client shop 192.0.2.7 root/web-1 done"])
        }
    }

    @Test("A certificate stands for the secret where one of its names fits, byte for byte")
    func certificates() async throws {
        try await Self.with { database in
            func code(
                _ client: String, _ names: [String], _ secret: String = ""
            ) async throws -> String? {
                try await database.refusal {
                    ($0.clientID, $0.clientSecret, $0.certificateNames) = (client, secret, names)
                }
            }
            let refused = "unauthenticated invalid_client"
            for (client, names, secret) in [
                ("jobs", ["subject:CN=x", "dns:jobs.example.org"], ""),
                ("jobs", ["subject:CN=jobs,O=Example"], ""),
                ("both", ["uri:spiffe://example.org/both"], ""),
                ("both", [], Self.secrets[2].text),
                ("both", ["dns:jobs.example.org"], Self.secrets[2].text),
            ] {
                let found = try await code(client, names, secret)
                #expect(found == nil, "\(client) \(names)")
            }
            for (client, names, secret) in [
                ("jobs", [], ""), ("jobs", ["dns:JOBS.example.org"], ""),
                ("jobs", ["uri:jobs.example.org", "dns:a.jobs.example.org"], ""),
                ("jobs", ["dns:jobs.example.org"], "wrong"), ("jobs", [], Self.secrets[2].text),
                // Another client's certificate.
                ("both", ["dns:jobs.example.org"], ""), ("shop", ["dns:jobs.example.org"], ""),
                ("nobody", ["dns:jobs.example.org"], ""), ("", ["dns:jobs.example.org"], ""),
            ] {
                let found = try await code(client, names, secret)
                #expect(found == refused, "\(client) \(names)")
            }
        }
    }

    @Test("Everything else is refused, with the code of RFC 6749, and recorded")
    func refused() async throws {
        try await Self.with { database in
            let cases: [(change: (inout IssueClientTokenRequest) -> Void, code: String)] = [
                ({ $0.clientSecret = "wrong" }, "unauthenticated invalid_client"),
                ({ $0.clientSecret = "" }, "unauthenticated invalid_client"),
                ({ $0.clientID = "nobody" }, "unauthenticated invalid_client"),
                ({ $0.clientID = "other" }, "unauthenticated invalid_client"),
                // What the file has of a secret is not the secret.
                (
                    { $0.clientSecret = Self.secrets[0].hash }, "unauthenticated invalid_client"
                ),
                ({ $0.user = "customer" }, "invalidArgument unauthorized_client"),
                ({ $0.user = "Customer-7" }, "invalidArgument unauthorized_client"),
                ({ $0.device = "phone" }, "invalidArgument unauthorized_client"),
                ({ $0.roles = ["editor", "owner"] }, "invalidArgument invalid_scope"),
                // The Kelvin sign is equal to a K for Swift.
                ({ $0.roles = ["\u{212A}"] }, "invalidArgument invalid_scope"),
                (
                    { $0.user = "customer-" + String(repeating: "x", count: 300) },
                    "invalidArgument invalid_request"
                ), ({ $0.user = "customer-\n" }, "invalidArgument invalid_request"),
            ]
            for (change, code) in cases {
                #expect(try await database.refusal(change) == code)
            }
            let recorded = try await database.recorded()
            #expect(recorded.count == cases.count)
            // Who has shown no secret chooses no text that is kept.
            #expect(recorded[0] == "client shop 192.0.2.7 unknown refused invalid_client")
            #expect(recorded[2] == "client unknown 192.0.2.7 unknown refused invalid_client")
        }
    }

    @Test("Whoever guesses does not fill the audit")
    func flood() async throws {
        try await Self.with { database in
            for _ in 0..<100 {
                // Not in the macro: its closure would be taken for the one below.
                let refusal = try await database.refusal { $0.clientSecret = "guess" }
                #expect(refusal == "unauthenticated invalid_client")
            }
            let count = try await database.recorded().count
            // Thirty, and those that come back while the test runs.
            #expect((30..<90).contains(count), "\(count)")
            // It does not hide what a client asks for that it may not.
            let refusal = try await database.refusal { $0.user = "nobody" }
            #expect(refusal == "invalidArgument unauthorized_client")
            let last = try await database.recorded().last
            #expect(last == "client shop 192.0.2.7 nobody/web-1 refused unauthorized_client")
        }
    }

    @Test("A token with roles that cannot be recorded is not handed out")
    func withoutAudit() async throws {
        try await Self.with { database in
            _ = try await database.token()
            try await database.owner.execute(
                script: """
                    REVOKE INSERT ON oversync_auth.audit FROM \(ServiceRole.auth.defaultName)
                    """)
            #expect(
                try await database.refusal { ($0.user, $0.roles) = ("root", ["admin"]) }
                    == "unavailable unavailable")
            #expect(try await database.refusal { _ in } == nil)
            // A wrong secret is answered as what it is.
            #expect(
                try await database.refusal { $0.clientSecret = "x" }
                    == "unauthenticated invalid_client")
        }
    }
}
