import Foundation
import RPC
import TestTokens
import Testing

@testable import Gateway

/// Tokens as well-known providers make them, with the settings of `Docs/identity.md`.
struct ProviderTokenTests {
    private static let now = Int(IssuerFixture.now)

    private static func page() throws -> String {
        let page = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Docs/identity.md").standardizedFileURL
        return try String(contentsOf: page, encoding: .utf8)
    }

    /// The settings of a provider, as the page has them.
    private static func settings(_ provider: String) throws -> String {
        let text = try page()
        let section = try #require(
            text.components(separatedBy: "## \(provider)\n").dropFirst().first)
        let block = try #require(section.firstMatch(of: /```yaml\n((?:.*\n)*?)```/))
        return String(block.output.1)
    }

    private func caller(
        _ provider: String, _ algorithm: String, _ claims: [String: any Sendable]
    ) async throws -> VerifiedCaller {
        let key = try TestKey(algorithm, kid: "8b1a9953c4611296a827abf8c47804d7")
        let yaml = try Self.settings(provider)
        let name = try #require(try IssuerFile.parse(yaml).first).name
        let fixture = try await IssuerFixture(
            yaml, publishing: [name: TestPublisher(try TestKey.set([key]))])
        return try await fixture.caller(try key.token(claims))
    }

    @Test func `the page has every key of an issuer, and its example is taken`() throws {
        let section = try #require(
            try Self.page().components(separatedBy: "## Issuers\n").dropFirst().first?
                .components(separatedBy: "\n## ").first)
        let listed = section.matches(of: /(?m)^\| `([a-z_]+)` \|/).map { String($0.output.1) }
        #expect(Set(listed) == IssuerFile.keys && listed.count == IssuerFile.keys.count)
        #expect(try IssuerFile.parse(try Self.settings("Issuers")).count == 2)
    }

    @Test func `Auth0: two audiences, a user with a bar, claims that a URL names`() async throws {
        let caller = try await caller(
            "Auth0", "RS256",
            [
                "https://sync.example.com/roles": ["editor", "Regional Manager"],
                "https://sync.example.com/device": "phone-7",
                "iss": "https://acme.eu.auth0.com/", "sub": "auth0|507f1f77bcf86cd799439011",
                "aud": ["https://sync.example.com", "https://acme.eu.auth0.com/userinfo"],
                "iat": Self.now, "exp": Self.now + 86_400, "azp": "my_client_id",
                "scope": "openid profile email",
            ])
        #expect(
            caller.identity
                == CallerIdentity(
                    user: "auth0|507f1f77bcf86cd799439011", device: "phone-7", roles: ["editor"],
                    issuer: "https://acme.eu.auth0.com/"))
    }

    @Test func `Keycloak: roles of the realm, and the device from the header`() async throws {
        let caller = try await caller(
            "Keycloak", "RS256",
            [
                "exp": Self.now + 300, "iat": Self.now, "auth_time": Self.now,
                "jti": "onrtac:aa4dd15b-34ab-4ff7-a3fb-34ef3aae9ae2",
                "iss": "https://id.example.com/realms/acme", "aud": ["oversync", "account"],
                "sub": "f:1c7ff09a:ann", "typ": "Bearer", "azp": "notes-app",
                "sid": "ba9ad2c4", "acr": "1",
                "realm_access": [
                    "roles": ["default-roles-acme", "editor", "offline_access", "admin"]
                ] as [String: [String]],
                "resource_access": ["account": ["roles": ["manage-account"]]]
                    as [String: [String: [String]]],
                "preferred_username": "ann",
            ])
        // The realm's administrators are not those of Oversync.
        #expect(
            caller.identity
                == CallerIdentity(
                    user: "f:1c7ff09a:ann", device: "", roles: ["editor"],
                    issuer: "https://id.example.com/realms/acme"))
        #expect(caller.namesDeviceByHeader)
    }

    @Test func `Firebase: the project is issuer and audience`() async throws {
        let caller = try await caller(
            "Firebase", "RS256",
            [
                "iss": "https://securetoken.google.com/acme-notes", "aud": "acme-notes",
                "auth_time": Self.now, "user_id": "Vk1q0Ww9ZkR3", "sub": "Vk1q0Ww9ZkR3",
                "iat": Self.now, "exp": Self.now + 3600, "email": "ann@example.com",
                "email_verified": true,
                "firebase": ["sign_in_provider": "password"] as [String: String],
            ])
        #expect(
            caller.identity
                == CallerIdentity(
                    user: "Vk1q0Ww9ZkR3", device: "",
                    issuer: "https://securetoken.google.com/acme-notes"))
        #expect(caller.namesDeviceByHeader)
    }

    @Test func `Supabase: one role as text, and a user's id that is a UUID`() async throws {
        let claims: [String: any Sendable] = [
            "aal": "aal1", "amr": [["method": "password"]] as [[String: String]],
            "app_metadata": ["provider": "email"] as [String: String], "aud": "authenticated",
            "email": "ann@example.com", "exp": Self.now + 3600, "iat": Self.now,
            "iss": "https://abcdefghijkl.supabase.co/auth/v1", "phone": "",
            "role": "authenticated", "session_id": "1c5d3a54", "is_anonymous": false,
            "sub": "5ad5b0a1-6a3e-4f6a-9f0c-2b1d0a0f6c11",
        ]
        let caller = try await caller("Supabase", "ES256", claims)
        #expect(
            caller.identity
                == CallerIdentity(
                    user: "5ad5b0a1-6a3e-4f6a-9f0c-2b1d0a0f6c11", device: "",
                    roles: ["authenticated"],
                    issuer: "https://abcdefghijkl.supabase.co/auth/v1"))
    }

    /// Projects that sign with a shared secret still: a hook adds the device.
    @Test func `Supabase's older tokens get in by the shared secret`() async throws {
        let fixture = try await IssuerFixture(
            "{name: a, issuer: a, jwks_file: /k, audience: a}", publishing: ["a": TestPublisher("")]
        )
        let token = try hmacToken(
            [
                "iss": "https://abcdefghijkl.supabase.co/auth/v1", "aud": "authenticated",
                "sub": "5ad5b0a1", "did": "phone", "role": "authenticated", "exp": Self.now + 3600,
            ], secret: Data(IssuerFixture.secret.utf8))
        #expect(
            try await fixture.caller(token).identity
                == CallerIdentity(
                    user: "5ad5b0a1", device: "phone",
                    issuer: "https://abcdefghijkl.supabase.co/auth/v1"))
    }
}
