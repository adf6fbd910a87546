import Foundation
import JWTKit
import LogFields
import Logging
import Protos
import RPC
import ServiceLifecycle
import Synchronization
import Tokens

/// The keys that check tokens: the Auth service's published ones, and the shared secret if there is one.
final class KeySource: Service {
    /// Shortest time between two questions for keys that a token names and nobody knows.
    private static let minimumInterval: Duration = .seconds(2)
    /// Longest time between two readings.
    private static let refreshInterval: Duration = .seconds(30)

    /// Longest wait for one answer of the Auth service.
    private static let readTimeout: Duration = .seconds(5)

    private struct Published {
        let jwks: String
        let keys: JWTKeyCollection
        let kids: Set<String>
    }

    private struct State {
        var published: Published?
        /// The question under way. A stored task, because all requests that need its answer share it and none
        /// of them may cancel it for the others; it is bounded by `readTimeout`.
        var reading: Task<Published, any Error>?
        var lastAsked: ContinuousClock.Instant?
        var hasFailed = false
        var secret: Secret?

        mutating func finishReading(_ answer: Published?) {
            reading = nil
            lastAsked = .now
            hasFailed = answer == nil
            if let answer { published = answer }
        }
    }

    /// The secret that other back ends sign with.
    private struct Secret {
        let text: String
        let keys: JWTKeyCollection

        init(_ text: String) async {
            self.text = text
            keys = await JWTKeyCollection().add(
                hmac: HMACKey(sharedSecret: text), digestAlgorithm: .sha256)
        }
    }

    /// What to do about a key that a token names.
    private enum Lookup {
        case found(JWTKeyCollection)
        case ask
        /// Asked a moment ago: there is no such key.
        case absent
        /// Asked a moment ago, without an answer: nobody knows.
        case unknown
    }

    private let auth: RPCClient
    private let cache: TokenCache
    private let logger: Logger
    private let state = Mutex(State())

    init(auth: RPCClient, hs256Secret: String?, cache: TokenCache, logger: Logger) async {
        self.auth = auth
        self.cache = cache
        self.logger = logger
        await use(hs256Secret: hs256Secret)
    }

    /// Checks HS256 tokens with this secret from now on; nil refuses them.
    ///
    /// - Returns: whether it is another one than before.
    @discardableResult
    func use(hs256Secret text: String?) async -> Bool {
        guard text != state.withLock({ $0.secret?.text }) else { return false }
        let secret: Secret? = if let text { await Secret(text) } else { nil }
        state.withLock { $0.secret = secret }
        // After the change: what is verified meanwhile with the former secret is not kept.
        cache.clear()
        return true
    }

    /// The keys to verify a token with; nil if there is none for its algorithm and name.
    ///
    /// - Throws: `RPCFailure.unavailable` when the keys cannot be read now: the token may be good.
    func verifier(for header: TokenHeader) async throws -> JWTKeyCollection? {
        switch header.alg {
        // The secret has no name. Some back ends write one into their tokens all the same.
        case "HS256": return state.withLock { $0.secret?.keys }
        case "ES256":
            guard let kid = header.kid else { return nil }
            switch lookUp(kid) {
            case .found(let keys): return keys
            case .absent: return nil
            case .unknown:
                throw RPCFailure.unavailable("The keys that check tokens are not available")
            case .ask:
                let fresh = try await refresh()
                return fresh.kids.contains(kid) ? fresh.keys : nil
            }
        default: return nil
        }
    }

    /// The published set, for other verifiers.
    func publishedKeys() async throws -> String {
        if let current = state.withLock({ $0.published }) { return current.jwks }
        return try await refresh().jwks
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    _ = try await self.refresh(endsWithTask: true)
                } catch  where !Task.isCancelled {
                    self.logger.warning(
                        "the keys could not be read; keeping the last ones",
                        metadata: .fields([.error: "\(error)"]))
                } catch {
                    return
                }
                // Auth does not call the gateway when it has a new key.
                try? await Task.sleep(for: Self.refreshInterval)
            }
        }
    }

    /// Anyone can send tokens with invented key names: they cost the Auth service one call in
    /// `minimumInterval` altogether.
    private func lookUp(_ kid: String) -> Lookup {
        state.withLock { state in
            if let published = state.published, published.kids.contains(kid) {
                return .found(published.keys)
            }
            if state.reading != nil { return .ask }
            if let asked = state.lastAsked, .now - asked < Self.minimumInterval {
                return state.hasFailed ? .unknown : .absent
            }
            return .ask
        }
    }

    /// Reads the keys, or waits for the answer that somebody else is waiting for.
    ///
    /// - Parameter endsWithTask: whether the end of this task ends the reading for all: the process stops.
    private func refresh(endsWithTask: Bool = false) async throws -> Published {
        let reading = state.withLock { state in
            if let reading = state.reading { return reading }
            let reading = Task { try await self.read() }
            state.reading = reading
            state.lastAsked = .now
            return reading
        }
        return try await withTaskCancellationHandler {
            try await reading.value
        } onCancel: {
            if endsWithTask { reading.cancel() }
        }
    }

    private func read() async throws -> Published {
        do {
            let context = CallContext(requestID: "gateway-keys", deadline: .now + Self.readTimeout)
            let jwks = try await auth.call(AuthRPC.getKeys, GetKeysRequest(), context: context)
                .message.jwks
            let current = state.withLock { $0.published }
            if let current, current.jwks == jwks {
                state.withLock { $0.finishReading(current) }
                return current
            }
            let fresh = Published(
                jwks: jwks, keys: try await JWTKeyCollection().add(jwksJSON: jwks),
                kids: try Self.kids(jwks))
            state.withLock { $0.finishReading(fresh) }
            cache.clear()
            return fresh
        } catch {
            state.withLock { $0.finishReading(nil) }
            throw error
        }
    }

    private static func kids(_ jwks: String) throws -> Set<String> {
        struct Key: Decodable { let kid: String }
        struct Keys: Decodable { let keys: [Key] }
        return Set(try JSONDecoder().decode(Keys.self, from: Data(jwks.utf8)).keys.map(\.kid))
    }
}
