import Crypto
import Foundation
import Postgres
import Sidecar
import WireJSON

/// Changes the keys that sign tokens. Each change is one transaction that excludes other changers,
/// and has its row in the audit: replicas of Auth and tools may run at once.
package struct KeyStore: Sendable {
    package typealias Row = KeyStatements.ReadKeys.Row
    package typealias Instant = ContinuousClock.Instant

    private let seals: KeySeals
    private let origin: AuditOrigin

    /// - Parameter origin: who changes keys, for the audit.
    package init(_ seals: KeySeals, by origin: AuditOrigin) {
        self.seals = seals
        self.origin = origin
    }

    /// A key that is published, and its private half.
    package struct OpenKey: Sendable {
        package let key: SigningKey
        package let row: Row
        fileprivate let seal: KeySeal
    }

    /// The keys to publish, those that began first before others.
    ///
    /// - Throws: `SealBroken`; `PostgresError`.
    package func published(
        on connection: PostgresConnection, by deadline: Instant? = nil
    ) async throws -> [OpenKey] {
        let rows = try await connection.run(KeyStatements.ReadKeys(), deadline: deadline).all()
        return try rows.map { row in
            let (key, seal, _) = try seals.open(row.sealedKey, kid: row.kid)
            return OpenKey(
                key: SigningKey(kid: row.kid, privateKey: key), row: row, seal: seal)
        }
    }

    /// Makes the first key of a database, unless another process was faster.
    ///
    /// - Returns: the keys that are there then, and whether this call made one.
    package func createFirst(
        on connection: PostgresConnection, by deadline: Instant? = nil
    ) async throws -> (keys: [OpenKey], isNew: Bool) {
        try await Self.change(on: connection, by: deadline) {
            let existing = try await published(on: connection, by: deadline)
            guard existing.isEmpty else { return (existing, false) }
            let key = SigningKey()
            try await insert(key, seals.current, lead: 0, on: connection, deadline)
            try await Self.record(
                .createKey, key.kid, nil, by: origin, on: connection, deadline)
            return (try await published(on: connection, by: deadline), true)
        }
    }

    /// Makes a new key, which signs once verifiers know it. The others stay published for the
    /// tokens that they have signed.
    ///
    /// - Parameter minimumAge: of the newest key, in seconds; a younger one is left as it is.
    /// - Returns: the new key's name; nil where the newest key is younger.
    /// - Throws: `KeyRefusal` where a new key already waits; `SealBroken`; `PostgresError`.
    @discardableResult
    package func rotate(
        _ pace: KeyPace, ifOlderThan minimumAge: Double? = nil,
        on connection: PostgresConnection, by deadline: Instant? = nil
    ) async throws -> String? {
        try await Self.change(on: connection, by: deadline) {
            let existing = try await published(on: connection, by: deadline)
            let newest = existing.last
            if let minimumAge, let newest, newest.row.age < minimumAge { return nil }
            if !pace.isAtOnce, let waiting = existing.last(where: { !$0.row.times.isActive }) {
                throw KeyRefusal(
                    "key_waiting",
                    "key \(waiting.key.kid) waits already and signs from \(waiting.row.activeFrom)"
                        + " on: rotate after that")
            }
            let key = SigningKey()
            // Like the newest: a replica that does not have a new master key yet must open it, too.
            try await insert(
                key, newest?.seal ?? seals.current, lead: pace.leadSeconds, on: connection, deadline
            )
            let others = existing.map(\.key.kid)
            try await connection.run(
                KeyStatements.RetireKeys(others, after: pace.secondsUntilFormerKeysRetire),
                deadline: deadline)
            try await Self.record(
                .rotateKeys, key.kid,
                [
                    "retires": .array(others.map { .string($0) }),
                    "signs_after_seconds": .integer(Int64(pace.leadSeconds)),
                    "retire_after_seconds": .integer(Int64(pace.secondsUntilFormerKeysRetire)),
                ], by: origin, on: connection, deadline)
            return key.kid
        }
    }

    /// Has a key stop signing, and retire when the tokens that it has signed have expired. Opens
    /// none.
    ///
    /// - Throws: `KeyRefusal` where there is no such key, or no other one to sign; `PostgresError`.
    package static func retire(
        _ kid: String, _ pace: KeyPace, by origin: AuditOrigin, on connection: PostgresConnection,
        by deadline: Instant? = nil
    ) async throws {
        try await change(on: connection, by: deadline) {
            let rows = try await connection.run(
                KeyStatements.ReadKeys(withRetired: true), deadline: deadline
            ).all()
            guard let row = rows.first(where: { $0.kid == kid }) else {
                throw KeyRefusal("key_unknown", "there is no key \(kid)")
            }
            guard !row.times.isRetired else {
                throw KeyRefusal("key_retired", "key \(kid) has retired already")
            }
            let others = rows.filter { $0.kid != kid && !$0.times.retires }
            let signer = KeyTimes.signer(of: rows.map(\.times)).map { rows[$0].kid }
            // One that signs no longer may go as soon as another one stays, also one that waits.
            let isSpent = row.times.isActive && signer != kid && !others.isEmpty
            guard isSpent || others.contains(where: \.times.isActive) else {
                throw KeyRefusal(
                    "key_needed",
                    "no other key signs and stays: rotate first, and wait until the "
                        + "new key signs")
            }
            try await connection.run(
                KeyStatements.RetireKeys([kid], after: pace.secondsUntilRetired),
                deadline: deadline)
            try await record(
                .retireKey, kid,
                ["retire_after_seconds": .integer(Int64(pace.secondsUntilRetired))], by: origin,
                on: connection, deadline)
        }
    }

    /// Seals every key with the current master key.
    ///
    /// - Returns: how many keys had another seal, and the retired ones that neither master key
    ///   opens.
    /// - Throws: `SealBroken` for a published key that neither master key opens: nothing has
    ///   changed then; `PostgresError`.
    package func reseal(
        on connection: PostgresConnection, by deadline: Instant? = nil
    ) async throws -> (resealed: Int, lost: [String]) {
        try await Self.change(on: connection, by: deadline) {
            let rows = try await connection.run(
                KeyStatements.ReadKeys(withRetired: true), deadline: deadline
            ).all()
            var resealed: [String] = []
            var lost: [String] = []
            for row in rows {
                guard let opened = try open(row) else {
                    lost.append(row.kid)
                    continue
                }
                guard !opened.isCurrent else { continue }
                let sealed = try seals.current.seal(opened.key)
                try await connection.run(
                    KeyStatements.ResealKey(kid: row.kid, sealedKey: sealed), deadline: deadline)
                resealed.append(row.kid)
            }
            try await Self.record(
                .resealKeys, resealed.isEmpty ? "none" : "\(resealed.count) keys",
                [
                    "resealed": .array(resealed.map { .string($0) }),
                    "lost": .array(lost.map { .string($0) }),
                ], by: origin, on: connection, deadline)
            return (resealed.count, lost)
        }
    }

    /// All keys and their states, those that began first before others. Opens none.
    package static func list(
        on connection: PostgresConnection
    ) async throws(PostgresError) -> [(row: Row, state: KeyState)] {
        let rows = try await connection.run(KeyStatements.ReadKeys(withRetired: true)).all()
        return Array(zip(rows, KeyTimes.states(of: rows.map(\.times))))
    }

    /// Nil for a key that nobody can open and nobody needs.
    private func open(
        _ row: Row
    ) throws(SealBroken) -> (key: SigningKey, isCurrent: Bool)? {
        do throws(SealBroken) {
            let (key, _, isCurrent) = try seals.open(row.sealedKey, kid: row.kid)
            return (SigningKey(kid: row.kid, privateKey: key), isCurrent)
        } catch {
            guard row.times.isRetired else { throw error }
            return nil
        }
    }

    private static func change<Value>(
        on connection: PostgresConnection, by deadline: Instant?,
        _ body: () async throws -> Value
    ) async throws -> Value {
        _ = try await connection.run(
            [Command(KeyStatements.begin), Command(KeyStatements.lockKeys)], deadline: deadline)
        do {
            let value = try await body()
            try await connection.run(Command(KeyStatements.commit), deadline: deadline)
            return value
        } catch {
            try? await connection.execute(script: "ROLLBACK")
            throw error
        }
    }

    private func insert(
        _ key: SigningKey, _ seal: KeySeal, lead: Double, on connection: PostgresConnection,
        _ deadline: Instant?
    ) async throws {
        try await connection.run(
            KeyStatements.InsertKey(
                kid: key.kid, publicKey: Array(key.privateKey.publicKey.x963Representation),
                sealedKey: try seal.seal(key), lead: lead), deadline: deadline)
    }

    private static func record(
        _ action: AuditAction, _ target: String, _ details: JSONDocument?, by origin: AuditOrigin,
        on connection: PostgresConnection, _ deadline: Instant?
    ) async throws {
        try await connection.run(
            AuditStatements.AppendOfAuth(
                AuditEntry(action, of: target, by: origin, details: details)),
            deadline: deadline)
    }
}

/// How fast keys follow each other.
package struct KeyPace: Hashable, Sendable {
    /// Shortest time in which a new key is published before it signs, in seconds. Every replica of
    /// Auth reads the keys each 15 s and every gateway each 30 s, and either may need 5 s for it.
    package static let minimumLeadSeconds = 60.0
    /// What a new key is published ahead by default, in seconds.
    package static let standardLeadSeconds = 120.0
    /// Between the end of the last token that a key can have signed and the key's own end, in
    /// seconds: replicas of Auth learn of a new key some time after it signs, and clocks differ.
    package static let graceSeconds = 600.0
    /// The longest token, in seconds.
    package static let standardOverlapSeconds = 86_400.0

    /// Seconds in which a new key is published before it signs.
    package let leadSeconds: Double
    /// Seconds in which a key is published after it has signed its last token.
    package let overlapSeconds: Double
    /// A new key signs now, and a key that retires is no longer published: tokens end early.
    package let isAtOnce: Bool

    package init(
        lead: Double = standardLeadSeconds, overlap: Double = standardOverlapSeconds
    ) {
        leadSeconds = max(lead, Self.minimumLeadSeconds)
        overlapSeconds = max(overlap, 0)
        isAtOnce = false
    }

    private init() {
        leadSeconds = 0
        overlapSeconds = 0
        isAtOnce = true
    }

    /// For keys that somebody else may have.
    package static let atOnce = KeyPace()

    /// Seconds from now until a key has retired that stops signing now.
    package var secondsUntilRetired: Double { isAtOnce ? 0 : overlapSeconds + Self.graceSeconds }
    /// Seconds from now until the keys before a new one have retired.
    package var secondsUntilFormerKeysRetire: Double { leadSeconds + secondsUntilRetired }
}

/// A change of keys that cannot be made now, and what to do instead.
package struct KeyRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    package let code: String
    package let description: String

    init(_ code: String, _ description: String) {
        self.code = code
        self.description = description
    }
}
