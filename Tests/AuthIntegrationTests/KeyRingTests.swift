@testable import AuthService
import Crypto
import Foundation
import JWTKit
import Logging
import Postgres
import Sidecar
import SigningKeys
import Testing
import TestSupport
import Tokens

@Suite("The keys that sign tokens")
struct KeyRingTests {
    private static let masterKey = String(repeating: "m", count: 32)

    private static let template = DatabaseTemplate(name: "auth") { url in
        let connection = try await PostgresConnection.connect(
            PostgresConfiguration(url: url), logger: quiet)
        defer { connection.close() }
        _ = try await Migrator(connection: connection).migrate()
        _ = try await RoleInstallation(connection: connection).apply()
    }

    private static let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }

    private static func pool(_ url: String) throws -> PostgresPool {
        PostgresPool(
            try PostgresConfiguration(
                url: TestDatabase.url(url, as: ServiceRole.auth.defaultName)),
            pool: try PoolConfiguration(), logger: quiet)
    }

    private static func ring(_ url: String, masterKey: String = masterKey) throws -> KeyRing {
        KeyRing(
            pool: try pool(url),
            store: KeyStore(KeySeals(current: masterKey), by: .service("oversync-auth", on: "t")),
            logger: quiet)
    }

    @Test("Replicas that start at once on a new database make one key, and all sign with it")
    func firstKey() async throws {
        try await TestDatabase.withDatabase(template: Self.template) { url in
            var kids: Set<String> = []
            try await withThrowingTaskGroup(of: String.self) { group in
                for _ in 0..<8 {
                    group.addTask { try await Self.ring(url).snapshot().kid }
                }
                for try await kid in group { kids.insert(kid) }
            }
            #expect(kids.count == 1)
            // A restart finds it again.
            #expect(try await Self.ring(url).snapshot().kid == kids.first)
        }
    }

    @Test("A token of ours carries what the gateway needs and is good for the published key alone")
    func tokens() async throws {
        try await TestDatabase.withDatabase(template: Self.template) { url in
            let snapshot = try await Self.ring(url).snapshot()
            let claims = DeviceClaims(
                user: "ann", device: "phone", issuer: "i", audience: "a",
                now: Int(Date().timeIntervalSince1970), lifetime: 60)
            let token = try await snapshot.mint.sign(claims)
            let parts = token.split(separator: ".")
            func object(_ part: Substring) throws -> [String: Any] {
                var text = part.replacing("-", with: "+").replacing("_", with: "/")
                text += String(repeating: "=", count: (4 - text.count % 4) % 4)
                let data = try #require(Data(base64Encoded: String(text)))
                return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
            }
            let header = try object(parts[0])
            #expect(header["alg"] as? String == "ES256")
            #expect(header["kid"] as? String == snapshot.kid)
            let body = try object(parts[1])
            for claim in ["sub", "did", "exp", "iat", "nbf", "iss", "aud"] {
                #expect(body[claim] != nil, "\(claim)")
            }
            #expect(!snapshot.jwks.contains(#""d":"#), "the private half is not published")
            let keys = JWTKeyCollection()
            try await keys.add(jwksJSON: snapshot.jwks)
            _ = try await keys.verify(token, as: Claims.self)
            let stranger = try await TestDatabase.withDatabase(template: Self.template) { other in
                try await Self.ring(other).snapshot().mint.sign(claims)
            }
            await #expect(throws: (any Error).self) {
                _ = try await keys.verify(stranger, as: Claims.self)
            }
        }
    }

    private struct Claims: JWTPayload {
        let sub: String
        func verify(using algorithm: some JWTAlgorithm) async throws {}
    }

    @Test(
        "With another master key nothing is signed or made, and readiness says which setting is wrong"
    )
    func masterKey() async throws {
        try await TestDatabase.withDatabase(template: Self.template) { url in
            let kid = try await Self.ring(url).snapshot().kid
            let wrong = try Self.ring(url, masterKey: String(repeating: "w", count: 32))
            await #expect(throws: SealBroken.self) { _ = try await wrong.snapshot() }
            let problem = await wrong.problem()
            #expect(problem?.contains("OVERSYNC_AUTH_MASTER_KEY") == true)
            #expect(problem?.contains(kid) == true)
            let count = try await Self.pool(url).withConnection { connection in
                try await connection.run(
                    Command(
                        Statement(
                            name: "count", sql: "SELECT count(*) FROM oversync_auth.signing_key"))
                ).int64(0, 0)
            }
            #expect(count == 1)
        }
    }

    @Test("A sealed key opens under its own name only")
    func names() throws {
        let seal = KeySeal(masterKey: Self.masterKey)
        let key = SigningKey()
        let sealed = try seal.seal(key)
        #expect(
            try seal.open(sealed, kid: key.kid).rawRepresentation
                == key.privateKey.rawRepresentation)
        #expect(throws: SealBroken.self) { _ = try seal.open(sealed, kid: "other") }
        #expect(throws: SealBroken.self) {
            _ = try seal.open(Array(sealed.dropLast()), kid: key.kid)
        }
    }

    @Test("A key's name can be given to a command: it does not begin like an option")
    func optionLikeNames() {
        // One in 64 would.
        let names = (0..<600).map { _ in SigningKey().kid }
        #expect(names.allSatisfy { !$0.hasPrefix("-") } && Set(names).count == names.count)
    }

    @Test("Every statement is one that the server can prepare")
    func statements() async throws {
        try await TestDatabase.withDatabase(template: Self.template) { url in
            try await Self.pool(url).withConnection { connection in
                for statement in AuthStatements.all {
                    let description = try await connection.describe(statement)
                    #expect(description.parameters == statement.parameters, "\(statement.name)")
                }
            }
        }
    }
}
