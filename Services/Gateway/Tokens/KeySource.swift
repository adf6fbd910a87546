import Foundation
import JWTKit
import Logging
import Protos
import RPC
import ServiceLifecycle
import Synchronization

/// The keys that check tokens: the Auth service's published ones, and the shared secret if there is one.
final class KeySource: Service {
    /// Shortest time between two questions for keys that a token names and nobody knows.
    private static let minimumInterval: Duration = .seconds(2)
    /// Longest time between two readings.
    private static let refreshInterval: Duration = .seconds(30)

    private struct Published {
        let jwks: String
        let keys: JWTKeyCollection
        let kids: Set<String>
        let readAt: ContinuousClock.Instant
    }

    private let auth: RPCClient
    private let cache: TokenCache
    private let logger: Logger
    private let secret: JWTKeyCollection?
    private let published = Mutex<Published?>(nil)

    init(auth: RPCClient, hs256Secret: String?, cache: TokenCache, logger: Logger) async {
        self.auth = auth
        self.cache = cache
        self.logger = logger
        if let hs256Secret {
            secret = await JWTKeyCollection().add(hmac: HMACKey(from: hs256Secret), digestAlgorithm: .sha256)
        } else {
            secret = nil
        }
    }

    /// The keys to verify a token with; nil if there is none for its algorithm and name.
    func verifier(for header: TokenHeader, _ context: CallContext) async throws -> JWTKeyCollection? {
        switch header.alg {
        case "HS256": return header.kid == nil ? secret : nil
        case "ES256":
            guard let kid = header.kid else { return nil }
            if let current = published.withLock({ $0 }) {
                if current.kids.contains(kid) { return current.keys }
                if .now - current.readAt < Self.minimumInterval { return nil }
            }
            let fresh = try await refresh(context)
            return fresh.kids.contains(kid) ? fresh.keys : nil
        default: return nil
        }
    }

    /// The published set, for other verifiers.
    func publishedKeys(_ context: CallContext) async throws -> String {
        if let current = published.withLock({ $0 }) { return current.jwks }
        return try await refresh(context).jwks
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                let context = CallContext(requestID: "gateway-keys", deadline: .now + .seconds(5))
                do {
                    _ = try await self.refresh(context)
                } catch {
                    self.logger.warning("the keys could not be read; keeping the last ones", metadata: ["error": "\(error)"])
                }
                try? await Task.sleep(for: Self.refreshInterval)
            }
        }
    }

    private func refresh(_ context: CallContext) async throws -> Published {
        let reply = try await auth.call(AuthRPC.getKeys, GetKeysRequest(), context: context).message
        if let current = published.withLock({ $0 }), current.jwks == reply.jwks {
            let same = Published(jwks: current.jwks, keys: current.keys, kids: current.kids, readAt: .now)
            published.withLock { $0 = same }
            return same
        }
        let fresh = Published(
            jwks: reply.jwks, keys: try await JWTKeyCollection().add(jwksJSON: reply.jwks),
            kids: try Self.kids(reply.jwks), readAt: .now)
        published.withLock { $0 = fresh }
        cache.clear()
        return fresh
    }

    private static func kids(_ jwks: String) throws -> Set<String> {
        struct Key: Decodable { let kid: String }
        struct Keys: Decodable { let keys: [Key] }
        return Set(try JSONDecoder().decode(Keys.self, from: Data(jwks.utf8)).keys.map(\.kid))
    }
}
