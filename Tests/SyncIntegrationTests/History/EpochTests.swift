import Postgres
import Sidecar
import Testing

@Suite("Epochs")
struct EpochTests {
    @Test("A new epoch is another one, and is on record with its reason")
    func begin() async throws {
        try await SyncedDatabase.with { database in
            let first = try await Epoch.read(on: database.sql)
            #expect(first.began == nil && !first.created.isEmpty)
            let (before, after) = try await Epoch.begin(
                on: database.sql, because: "another server")
            #expect(before == first.id && after != first.id)
            let second = try await Epoch.read(on: database.sql)
            #expect(second.id == after && second.began != nil)
            #expect(try await database.epoch() == after)
            let record = try await database.value(
                """
                SELECT concat_ws(' ', action, target = '\(after)', outcome, details->>'before',
                    details->>'reason')
                FROM sync.audit
                """)
            #expect(record == "epoch.new t done \(before) another server")
        }
    }
}
