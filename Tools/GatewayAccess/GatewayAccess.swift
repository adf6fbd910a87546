import AsyncHTTPClient
import Foundation
import NIOCore
import NIOHTTP1
import NIOSSL
import OperatorKit
import ServiceKit
import Tokens

/// A running stack as devices see it: the gateway's address, the authority to trust, and a way to sign tokens.
package struct GatewayAccess: Sendable {
    /// How long a token is good, in seconds: longer than any command runs that keeps one.
    private static let tokenSeconds = 43_200
    private static let connectTimeout: TimeAmount = .seconds(5)

    /// Without a path, such as `https://127.0.0.1:8443`.
    package let url: String
    /// Path of the authority's certificate; nil trusts the authorities of the system.
    package let authority: String?
    /// Path of the secret that the gateway checks HS256 tokens with.
    package let secretFile: String
    private let mint: TokenMint
    private let issuer: String
    private let audience: String

    /// - Throws: `StackError` that names the option with which something is wrong.
    package init(url: String, authority: String?, secretFile: String) async throws {
        guard let parts = URLComponents(string: url), parts.scheme == "https",
            parts.host?.isEmpty == false, ["", "/"].contains(parts.path), parts.query == nil
        else {
            throw StackError("--gateway \(url): must be https://host or https://host:port")
        }
        self.url = url.hasSuffix("/") ? String(url.dropLast()) : url
        if let authority {
            guard let found = try? NIOSSLCertificate.fromPEMFile(authority), !found.isEmpty else {
                throw StackError("--ca: \(authority) is not a readable PEM certificate")
            }
        }
        self.authority = authority
        guard let text = try? String(contentsOfFile: secretFile, encoding: .utf8) else {
            throw StackError("--token-secret-file: cannot read \(secretFile)")
        }
        let secret = text.trimmingCharacters(in: .whitespacesAndNewlines)
        guard !secret.isEmpty else {
            throw StackError("--token-secret-file: \(secretFile) is empty")
        }
        self.secretFile = secretFile
        mint = await TokenMint(hs256: secret)
        let configuration = Configuration()
        issuer = try configuration.optional(TokenSettings.issuer) ?? TokenSettings.defaultName
        audience = try configuration.optional(TokenSettings.audience) ?? TokenSettings.defaultName
    }

    /// A private stack that runs on this machine.
    package init(_ stack: StackAddress) async throws {
        try await self.init(
            url: stack.gateway, authority: stack.authority, secretFile: stack.hs256SecretFile)
    }

    package func token(user: String, device: String) async throws -> String {
        try await mint.sign(
            DeviceClaims(
                user: user, device: device, issuer: issuer, audience: audience,
                now: Int(Date().timeIntervalSince1970), lifetime: Self.tokenSeconds))
    }

    /// An HTTP client that trusts the authority. The caller shuts it down.
    package func client() -> HTTPClient {
        var tls = TLSConfiguration.makeClientConfiguration()
        if let authority { tls.trustRoots = .file(authority) }
        var configuration = HTTPClient.Configuration(tlsConfiguration: tls)
        configuration.timeout.connect = Self.connectTimeout
        // Callers count each failure and send again by themselves.
        configuration.connectionPool.retryConnectionEstablishment = false
        return HTTPClient(configuration: configuration)
    }

    /// Lends such a client.
    package func withClient<R>(
        isolation: isolated (any Actor)? = #isolation, _ body: (HTTPClient) async throws -> R
    ) async throws -> R {
        let client = client()
        do {
            let value = try await body(client)
            try await client.shutdown()
            return value
        } catch {
            try? await client.shutdown()
            throw error
        }
    }
}
