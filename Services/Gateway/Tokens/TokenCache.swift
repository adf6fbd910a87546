import Crypto
import Foundation
import RPC
import Synchronization

/// Whose request it is, and how long its token says so.
struct VerifiedCaller: Hashable, Sendable {
    let identity: CallerIdentity
    /// Seconds since 1970, by the gateway's clock.
    let expires: TimeInterval
    /// The token names no device: the request's header does, and it is not known yet.
    var namesDeviceByHeader = false

    /// The same caller on a device.
    func on(device: String) -> VerifiedCaller {
        var identity = identity
        identity.device = device
        return VerifiedCaller(identity: identity, expires: expires)
    }
}

/// Tokens that were verified, until they end: a device sends the same one with each request, and verifying
/// costs as much as the rest of the request.
final class TokenCache: Sendable {
    /// Most tokens kept. When it is reached, those that have ended go, and then the oldest half.
    private let maximumTokens: Int

    /// A token's SHA-256: the token itself is not kept.
    typealias Key = [UInt8]

    private struct Entry {
        let caller: VerifiedCaller
        let age: Int
    }

    private struct State {
        var entries: [Key: Entry] = [:]
        /// Tokens that were good and are not known any more.
        var former: Set<Key> = []
        var generation = 0
        var count = 0
    }

    private let state = Mutex(State())

    init(maximumTokens: Int = 20_000) {
        self.maximumTokens = maximumTokens
    }

    static func key(of token: String) -> Key {
        var token = token
        return token.withUTF8 { Array(SHA256.hash(data: UnsafeRawBufferPointer($0))) }
    }

    func caller(_ key: Key, now: TimeInterval) -> VerifiedCaller? {
        state.withLock { state in
            guard let entry = state.entries[key], now < entry.caller.expires else { return nil }
            return entry.caller
        }
    }

    /// Changes whenever the keys do.
    var generation: Int { state.withLock { $0.generation } }

    /// - Parameter generation: as it was before the token was verified: what was verified with keys that are
    ///   gone since is not kept.
    func keep(_ caller: VerifiedCaller, under key: Key, generation: Int) {
        state.withLock { state in
            guard state.generation == generation else { return }
            if state.entries.count >= maximumTokens { makeRoom(&state) }
            state.count += 1
            state.former.remove(key)
            state.entries[key] = Entry(caller: caller, age: state.count)
        }
    }

    /// Forgets everything but that it was good: the keys have changed.
    func clear() {
        state.withLock { state in
            remember(state.entries.keys, &state)
            state.entries.removeAll()
            state.generation += 1
        }
    }

    /// Whether a token that is not known was good, which says nothing of what it is now.
    func wasGood(_ key: Key) -> Bool { state.withLock { $0.former.contains(key) } }

    /// It is not good any more.
    func forget(_ key: Key) { state.withLock { _ = $0.former.remove(key) } }

    private func remember(_ keys: some Collection<Key>, _ state: inout State) {
        if state.former.count + keys.count > maximumTokens { state.former.removeAll() }
        state.former.formUnion(keys)
    }

    private func makeRoom(_ state: inout State) {
        let now = Date().timeIntervalSince1970
        state.entries = state.entries.filter { now < $0.value.caller.expires }
        guard state.entries.count >= maximumTokens else { return }
        let ages = state.entries.values.map(\.age).sorted()
        let cut = ages[ages.count / 2]
        remember(state.entries.filter { $0.value.age <= cut }.keys, &state)
        state.entries = state.entries.filter { $0.value.age > cut }
    }
}
