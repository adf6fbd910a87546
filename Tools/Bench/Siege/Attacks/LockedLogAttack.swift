import NIOCore
import OperatorKit
import Postgres

/// One user whose log another session of PostgreSQL holds, while two hundred uploads of its wait.
///
/// ```
/// another session   lock ───────────────────────────────────── roll back
/// 200 connections   upload ─ wait ─ 503 ─ upload ─ wait ─ 503 ─ … ─ 200
/// other user        upload ─ 200 ─ upload ─ 200 ─ …
/// ```
struct LockedLogAttack: Attack {
    private static let connections = 200
    private static let pace: TimeAmount = .milliseconds(500)
    /// The lock is held this many times as long as other attacks last, or until a wait must have
    /// ended and a second more.
    private static let lockTimes = 1.5
    private static let moreSeconds = 1.0
    /// Beyond the time that an upload may wait, in milliseconds.
    private static let grace = 1000.0
    private static let mostVictim = 100.0
    static let limit = "limit of one wait, ms"

    let id = "locked-log"
    let work = "200 uploads wait for a log that another session holds"

    func prepare(_ field: SiegeField) async throws -> Assault {
        let uploads = try await Uploads(
            field, connections: Self.connections, UploadMix.inserts.slots(1))
        // The user's log is there before it is locked.
        try await field.ask(uploads.request(0, 0))
        let user = try await field.device("attacker").user
        let loop = field.loop(Self.connections, pace: Self.pace) { uploads.request($0, $1 + 1) }
        let plan = field.plan
        let database = field.database
        return {
            let waitSeconds = (Double(plan.uploadLockMilliseconds) + Self.grace) / 1000
            let lockSeconds = max(waitSeconds + Self.moreSeconds, Self.lockTimes * plan.seconds)
            async let report = loop.run(for: lockSeconds + waitSeconds)
            try await Self.hold(user, in: database, for: .seconds(lockSeconds))
            var answered = await report
            answered.figures[Self.limit] = Double(plan.uploadLockMilliseconds)
            return answered
        }
    }

    func requirements(_ seen: SiegeObservation) -> [Judgement] {
        // One that has waited for as long and was not answered has not given up.
        let longest = ["503", AttackRecord.unanswered].map { seen.attack.longest[$0] ?? 0 }.max()
        let limit = seen.attack.figures[Self.limit] ?? 0
        return [
            seen.victimIsAnswered,
            .plain("attacker: uploads that gave up", Double(seen.attack.count("503")), .atLeast(1)),
            .plain("attacker: longest wait, ms", longest ?? 0, .atMost(limit + Self.grace)),
        ] + seen.victimP99(below: Self.mostVictim)
    }

    private static func hold(
        _ user: String, in database: String, for time: Duration
    ) async throws {
        try await withConnection(to: database) { connection in
            try await connection.execute(
                script: """
                    BEGIN;
                    SELECT FROM sync.scope WHERE user_id = '\(user)' FOR UPDATE
                    """)
            try await Task.sleep(for: time)
            try await connection.execute(script: "ROLLBACK")
        }
    }
}
