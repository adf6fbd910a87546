import JWTKit
import Logging
import Protos
import RPC
import ServiceLifecycle
import Synchronization
import Tokens

/// The keys that check the installation's own tokens: those that Auth publishes, and the secrets
/// that other back ends share.
final class KeySource: Service {
    /// Auth publishes a key before it signs with it, and withdraws one after its last token has
    /// ended.
    private static let pace = PublishedKeys.Pace(refresh: .seconds(30), interval: .seconds(2))
    /// Longest wait for one answer of the Auth service.
    private static let readTimeout: Duration = .seconds(5)

    /// A secret that other back ends sign with.
    private struct Secret {
        let text: String
        let keys: JWTKeyCollection

        init(_ text: String) async {
            self.text = text
            keys = await JWTKeyCollection().add(
                hmac: HMACKey(sharedSecret: text), digestAlgorithm: .sha256)
        }
    }

    let published: PublishedKeys
    private let cache: TokenCache
    private let secrets = Mutex<[Secret]>([])

    /// - Parameter hs256Secrets: the newest first.
    init(auth: RPCClient, hs256Secrets: [String], cache: TokenCache, logger: Logger) async {
        self.cache = cache
        published = PublishedKeys(of: "auth", Self.pace, cache: cache, logger: logger) {
            let context = CallContext(requestID: "gateway-keys", deadline: .now + Self.readTimeout)
            let reply = try await auth.call(
                AuthRPC.getKeys, GetKeysRequest(), context: context
            ).message
            return try await KeySet(reply.jwks, algorithms: [.es256])
        }
        await use(hs256Secrets: hs256Secrets)
    }

    /// Checks HS256 tokens with these secrets from now on, the newest first; none refuses them.
    ///
    /// - Returns: whether they are other ones than before.
    @discardableResult
    func use(hs256Secrets texts: [String]) async -> Bool {
        guard texts != secrets.withLock({ $0.map(\.text) }) else { return false }
        var fresh: [Secret] = []
        for text in texts { fresh.append(await Secret(text)) }
        secrets.withLock { $0 = fresh }
        // After the change: what is verified meanwhile with a former secret is not kept.
        cache.clear()
        return true
    }

    /// The keys to verify a token with, those to try first first; none if there is none for its
    /// algorithm and name.
    ///
    /// - Throws: `RPCFailure.unavailable` when the keys cannot be read now: the token may be good.
    func verifiers(for header: TokenHeader) async throws -> [JWTKeyCollection] {
        switch header.alg {
        // A secret has no name. Some back ends write one into their tokens all the same.
        case "HS256": return secrets.withLock { $0.map(\.keys) }
        case "ES256":
            guard let kid = header.kid else { return [] }
            return try await published.key(kid, .es256).map { [$0] } ?? []
        default: return []
        }
    }

    func run() async throws { try await published.run() }
}
