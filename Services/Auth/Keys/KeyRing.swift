import JWTKit
import LogFields
import Logging
import Postgres
import RPC
import ServiceLifecycle
import SigningKeys
import Synchronization
import Telemetry
import Tokens
import WireJSON

/// The keys of this service, read from the database again and again so that all replicas have the same.
final class KeyRing: Service {
    /// How long a key that was added or retired elsewhere may stay unseen.
    static let refreshInterval: Duration = .seconds(15)
    /// How long readiness goes by one reading. With the pause between two probes it stays below a
    /// second.
    static let probeInterval: Duration = .milliseconds(500)
    /// Longest time of a reading for readiness: shorter than a probe may take, so that the probe
    /// reports what is wrong with the keys and not that it was late.
    static let probeLimit: Duration = .milliseconds(500)
    /// Longest time of any other reading, and of making the first key while the table is locked for
    /// that.
    static let readLimit: Duration = .seconds(5)

    /// What the service answers with until the next reading.
    struct Snapshot: Sendable {
        let jwks: String
        let mint: TokenMint
        let kid: String
        /// Seconds since the newest key began to sign; negative if it waits.
        let age: Double
        /// The database was asked after this.
        let asked: ContinuousClock.Instant
    }

    private let pool: PostgresPool
    private let store: KeyStore
    /// Age of the newest key at which another one is made, in seconds; nil leaves that to
    /// operators.
    private let rotationAge: Double?
    private let logger: Logger
    private let current = Mutex<Snapshot?>(nil)

    init(pool: PostgresPool, store: KeyStore, rotationAge: Double? = nil, logger: Logger) {
        self.pool = pool
        self.store = store
        self.rotationAge = rotationAge
        self.logger = logger
    }

    /// How old the newest key is, and what is known of it.
    func report(to metrics: MetricsRegistry) {
        metrics.value(
            "oversync_auth_signing_key_age_seconds",
            "Time since the newest signing key began to sign; negative while it waits"
        ) { [weak self] in
            self?.current.withLock { $0 }.map { $0.age + (.now - $0.asked).seconds }
        }
        metrics.value(
            "oversync_auth_signing_keys_read_age_seconds",
            "Time since the signing keys in use were read"
        ) { [weak self] in self?.current.withLock { $0 }.map { (.now - $0.asked).seconds } }
    }

    func snapshot() async throws -> Snapshot {
        if let snapshot = current.withLock({ $0 }) { return snapshot }
        return try await refresh(by: .now + Self.readLimit, makesFirstKey: true)
    }

    /// The same for a call: what is wrong with the database is not for its caller.
    ///
    /// - Throws: `RPCFailure.unavailable`.
    func forCaller() async throws -> Snapshot {
        do {
            return try await snapshot()
        } catch let error where !(error is CancellationError) {
            logger.error(
                "the signing keys could not be read", metadata: .fields([.error: "\(error)"]))
            throw RPCFailure.unavailable("The signing keys cannot be read now; try again")
        }
    }

    /// What keeps the service from signing, for readiness: the keys may be gone or sealed again
    /// since they were read.
    ///
    /// Makes no key: that all of them are gone must be reported first.
    func problem() async -> String? {
        let asked = current.withLock { $0?.asked }
        if let asked, ContinuousClock.now - asked < Self.probeInterval { return nil }
        do {
            try await refresh(by: .now + Self.probeLimit, makesFirstKey: false)
            return nil
        } catch let error as SealBroken {
            return "\(error)"
        } catch is NoKeys {
            let seconds = Self.refreshInterval.components.seconds
            return "there is no active key: one is made within \(seconds) s"
        } catch {
            return "cannot be read: \(error)"
        }
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    let snapshot = try await self.refresh(
                        by: .now + Self.readLimit, makesFirstKey: true)
                    try await self.rotateIfDue(snapshot)
                } catch  where !Task.isCancelled {
                    self.logger.error(
                        "the signing keys could not be read",
                        metadata: .fields([.error: "\(error)"]))
                } catch {
                    return
                }
                // Another replica may rotate the keys without telling this one.
                try? await Task.sleep(for: Self.refreshInterval)
            }
        }
    }

    /// Reads the keys and answers with them from now on.
    ///
    /// - Parameter makesFirstKey: whether a database without an active key gets one.
    @discardableResult
    private func refresh(
        by deadline: ContinuousClock.Instant, makesFirstKey: Bool
    ) async throws -> Snapshot {
        let asked = ContinuousClock.now
        let keys = try await pool.withConnection(deadline: deadline) { connection in
            let keys = try await store.published(on: connection, by: deadline)
            guard keys.isEmpty, makesFirstKey else { return keys }
            let (made, isNew) = try await store.createFirst(on: connection, by: deadline)
            if isNew, let kid = made.last?.key.kid {
                logger.notice("signing key created", metadata: .fields([.keyID: "\(kid)"]))
            }
            return made
        }
        guard let newest = keys.last, let signer = KeyTimes.signer(of: keys.map(\.row.times)) else {
            throw NoKeys()
        }
        let key = keys[signer].key
        let jwks: JSONDocument = ["keys": .array(keys.map(\.key.publicJWK))]
        let fresh = Snapshot(
            jwks: jwks.text,
            mint: await TokenMint(
                es256: try ES256PrivateKey(backing: key.privateKey), kid: key.kid),
            kid: key.kid, age: newest.row.age, asked: asked)
        return current.withLock { current in
            // Two readings may be under way: the later one counts.
            if let known = current, known.asked > asked { return known }
            current = fresh
            return fresh
        }
    }

    /// Makes a new key where the newest is too old. Of replicas that do so at once, one finds it
    /// old.
    private func rotateIfDue(_ snapshot: Snapshot) async throws {
        guard let rotationAge, snapshot.age >= rotationAge else { return }
        let deadline = ContinuousClock.now + Self.readLimit
        let kid = try await pool.withConnection(deadline: deadline) {
            try await store.rotate(
                KeyPace(), ifOlderThan: rotationAge, on: $0, by: deadline)
        }
        guard let kid else { return }
        logger.notice(
            "signing key created: the newest was too old", metadata: .fields([.keyID: "\(kid)"]))
    }
}

/// No key is active.
struct NoKeys: Error {}
