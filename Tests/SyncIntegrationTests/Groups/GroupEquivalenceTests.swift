import Model
import NIOCore
import Postgres
import RPC
import Sidecar
import Testing

@testable import UploadService

/// Uploads come to the same whether they share a transaction or each has its own.
@Suite("Groups of uploads beside uploads alone") struct GroupEquivalenceTests {
    private static let groups = 40

    @Test(
        "Random groups: answers, sequences, log, row states and business rows are the same",
        arguments: 1...12 as ClosedRange<UInt64>)
    func same(seed: UInt64) async throws {
        // Where constraints wait for the commit, an upload of a group must not see more than alone.
        let deferral = seed.isMultiple(of: 2) ? "DEFERRABLE INITIALLY DEFERRED" : ""
        try await Self.withDatabase(deferral) { alone in
            try await Self.withDatabase(deferral) { grouped in
                var walk = GroupWalk(seed: seed)
                for database in [alone, grouped] {
                    for user in ["ann", "bob"] {
                        try await database.upload(
                            user, change(1, "INSERT", "prefs", "first", "{}"))
                    }
                }
                let epochs = [try await Self.epoch(alone), try await Self.epoch(grouped)]
                for _ in 1...Self.groups {
                    let group = walk.group(epoch: "this")
                    let comment = Comment("\(group)")
                    let wanted = try await Self.alone(group, alone, epoch: epochs[0])
                    let found = try await Self.grouped(group, grouped, epoch: epochs[1])
                    try #require(found == wanted, comment)
                    for query in Self.queries {
                        let rows = try await grouped.value(query)
                        try #require(rows == (try await alone.value(query)), comment)
                    }
                }
                #expect(try await grouped.verify().0 == [])
                let counts = grouped.executor.groups
                #expect(counts.writtenGroups >= Self.groups / 2, "seed \(seed)")
                #expect(counts.writtenGroups + counts.brokenGroups == Self.groups, "seed \(seed)")
            }
        }
    }

    /// In addition to the usual tables, one whose rows may take each other's values.
    private static func withDatabase(
        _ deferral: String, _ body: (SyncedDatabase) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with(
            tables:
                "CREATE TABLE s.seats (id uuid PRIMARY KEY, owner text, n int UNIQUE \(deferral));",
            registered: "  - {table: s.seats, owner: owner}", body)
    }

    /// What a device hears, except for the tag, which rests on the time.
    private struct Answer: Equatable {
        var lines: [String] = []
        var head: Sequence64 = 0
        var end: Sequence64?
        var sequences: ClosedRange<Sequence64>?
        var duplicates = 0
        var failure: String?

        init(_ outcome: Result<UploadResult, any Error>) {
            switch outcome {
            case .success(let result):
                lines = result.outcomes.map(\.line)
                head = result.highestSequence
                end = result.end?.sequence
                sequences = result.sequences
                duplicates = result.duplicates
            case .failure(let error):
                failure = (error as? RPCFailure)?.code ?? "\(error)"
            }
        }
    }

    private static func epoch(_ database: SyncedDatabase) async throws -> String {
        try #require(try await database.value("SELECT epoch::text FROM sync.meta"))
    }

    private static func alone(
        _ group: GroupWalk.Group, _ database: SyncedDatabase, epoch: String
    ) async throws -> [Answer] {
        var answers: [Answer] = []
        for member in group.members {
            let outcome: Result<UploadResult, any Error>
            do {
                outcome = .success(
                    try await database.upload(
                        group.user, device: member.device,
                        epoch: member.epoch.map { $0 == "this" ? epoch : $0 }, member.changes))
            } catch {
                outcome = .failure(error)
            }
            answers.append(answer(outcome, of: member))
        }
        return answers
    }

    private static func grouped(
        _ group: GroupWalk.Group, _ database: SyncedDatabase, epoch: String
    ) async throws -> [Answer] {
        let members = group.members.map { member in
            var member = member
            if member.epoch == "this" { member.epoch = epoch }
            return member
        }
        let outcomes = try await database.together(group.user, members)
        for outcome in outcomes {
            guard let end = try? outcome.get().end else { continue }
            let scope = try #require(database.executor.scopes.scope(of: UserID(group.user)))
            let read = ReadTaggedChange(scope: scope, sequence: end.sequence)
            let stored = try await database.pool.withConnection { try await $0.run(read).first() }
            #expect(stored?.pair == end)
        }
        return zip(outcomes, members).map(answer)
    }

    /// The tag is not asked for by every device, and told all the same where it is known.
    private static func answer(
        _ outcome: Result<UploadResult, any Error>, of member: SyncedDatabase.Member
    ) -> Answer {
        var answer = Answer(outcome)
        if member.epoch == nil { answer.end = nil }
        return answer
    }

    /// What rows of one statement have caused stands in the order of the rows in their table, which
    /// is not the same in both.
    private static let queries = [
        """
        SELECT string_agg(t::text, E'\\n' ORDER BY t) FROM (
            SELECT s.user_id, d.device, CASE WHEN d.device IS NOT NULL THEN l.seq END, l.table_id,
                l.op, encode(l.key, 'hex'), l.version, l.payload::text,
                CASE WHEN d.device IS NOT NULL THEN l.source_change_id END, l.source_no,
                l.content_hash
            FROM sync.change_log l JOIN sync.scope s USING (scope_id)
            LEFT JOIN sync.source d USING (scope_id, source_no)) AS t
        """,
        """
        SELECT string_agg(t::text, E'\\n' ORDER BY t) FROM (
            SELECT s.user_id, r.table_id, encode(r.key, 'hex'), r.version, r.deleted
            FROM sync.row_state r JOIN sync.scope s USING (scope_id)) AS t
        """,
        "SELECT string_agg(concat(user_id, last_seq), ',' ORDER BY user_id) FROM sync.scope",
        """
        SELECT string_agg(concat(s.user_id, d.source_no, d.device), ',' ORDER BY d.scope_id,
            d.source_no)
        FROM sync.source d JOIN sync.scope s USING (scope_id)
        """,
        """
        SELECT string_agg(t, E'\\n' ORDER BY t) FROM (
            SELECT n::text FROM s.notes n UNION ALL SELECT n::text FROM s.items n
            UNION ALL SELECT n::text FROM s.links n UNION ALL SELECT n::text FROM s.tags n
            UNION ALL SELECT n::text FROM s.prefs n UNION ALL SELECT n::text FROM s.seats n
            UNION ALL SELECT concat(s.user_id, o.table_id, encode(o.key, 'hex'))
            FROM sync.key_owner o JOIN sync.scope s USING (scope_id)
            UNION ALL SELECT concat(s.user_id, f.table_id, encode(f.key, 'hex'), f.sqlstate,
                f.retry_count)
            FROM sync.materialize_failures f JOIN sync.scope s USING (scope_id)) AS t(t)
        """,
    ]
}
