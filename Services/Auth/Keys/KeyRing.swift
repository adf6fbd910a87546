import Crypto
import Foundation
import JWTKit
import LogFields
import Logging
import Postgres
import RPC
import ServiceLifecycle
import Synchronization
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
        /// The database was asked after this.
        let asked: ContinuousClock.Instant
    }

    private let pool: PostgresPool
    private let seal: KeySeal
    private let logger: Logger
    private let current = Mutex<Snapshot?>(nil)

    init(pool: PostgresPool, seal: KeySeal, logger: Logger) {
        self.pool = pool
        self.seal = seal
        self.logger = logger
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

    /// What keeps the service from signing, for readiness: the keys may be gone or sealed anew
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
                    try await self.refresh(by: .now + Self.readLimit, makesFirstKey: true)
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
            let keys = try await read(connection, deadline)
            guard keys.isEmpty, makesFirstKey else { return keys }
            return try await create(connection, deadline)
        }
        let now = Date()
        // The newest that is active signs; a key that is not active yet is published ahead of its time.
        guard let signer = keys.last(where: { $0.activeFrom <= now }) ?? keys.first else {
            throw NoKeys()
        }
        let jwks: JSONDocument = ["keys": .array(keys.map(\.publicJWK))]
        let fresh = Snapshot(
            jwks: jwks.text,
            mint: await TokenMint(
                es256: try ES256PrivateKey(backing: signer.privateKey), kid: signer.kid),
            kid: signer.kid, asked: asked)
        return current.withLock { current in
            // Two readings may be under way: the later one counts.
            if let known = current, known.asked > asked { return known }
            current = fresh
            return fresh
        }
    }

    private func read(
        _ connection: PostgresConnection, _ deadline: ContinuousClock.Instant
    ) async throws -> [SigningKey] {
        let rows = try await connection.run(AuthStatements.ReadKeys(), deadline: deadline).all()
        return try rows.map { row in
            SigningKey(
                kid: row.kid, privateKey: try seal.open(row.sealedKey, kid: row.kid),
                activeFrom: Date(timeIntervalSince1970: row.activeFrom))
        }
    }

    /// The first key of a new database. Another replica may have been faster: its key is taken then.
    private func create(
        _ connection: PostgresConnection, _ deadline: ContinuousClock.Instant
    ) async throws -> [SigningKey] {
        _ = try await connection.run(
            [Command(AuthStatements.begin), Command(AuthStatements.lockKeys)], deadline: deadline)
        let existing = try await read(connection, deadline)
        if !existing.isEmpty {
            try await connection.run(Command(AuthStatements.commit), deadline: deadline)
            return existing
        }
        let key = SigningKey(activeFrom: Date())
        var pipeline = Pipeline()
        pipeline.add(
            AuthStatements.InsertKey(
                kid: key.kid, publicKey: Array(key.privateKey.publicKey.x963Representation),
                sealedKey: try seal.seal(key)))
        pipeline.add(AuthStatements.commit)
        try await connection.run(pipeline, deadline: deadline)
        logger.notice("signing key created", metadata: .fields([.keyID: "\(key.kid)"]))
        return [key]
    }
}

/// No key is active.
struct NoKeys: Error {}
