import RPC
import Testing

@testable import UploadService

@Suite("A PostgreSQL that takes no more connections")
struct CrowdedServerTests {
    @Test("Uploads and pages are 503 with the time to come back, and then all goes on")
    func crowded() async throws {
        try await SyncedDatabase.with { database in
            func limit(_ connections: Int) async throws {
                try await database.execute(
                    """
                    DO $$ BEGIN EXECUTE format(
                        'ALTER DATABASE %I CONNECTION LIMIT \(connections)', current_database());
                    END $$
                    """)
            }
            @Sendable func upload(_ number: Int) async throws -> [String] {
                try await database.outcomes(
                    "ann", device: "d\(number)",
                    change(1, "INSERT", "notes", id("a\(number)"), "{}"))
            }
            // Superusers are not counted, services are.
            try await limit(0)
            let failures = await withTaskGroup(of: RPCFailure?.self) { group in
                for number in 1...20 {
                    group.addTask {
                        do {
                            _ = try await upload(number)
                            return nil
                        } catch { return error as? RPCFailure }
                    }
                }
                return await group.reduce(into: [RPCFailure?]()) { $0.append($1) }
            }
            for failure in failures {
                #expect(failure?.status == .unavailable)
                #expect(failure?.retryAfter != nil)
            }
            let page = await #expect(throws: RPCFailure.self) {
                _ = try await database.pull("ann")
            }
            #expect(page?.status == .unavailable && page?.retryAfter != nil)
            #expect(database.executor.queue.bytes == 0)
            try await limit(-1)
            // After an outage a pool refuses until its next attempt connects.
            try await retry { try await upload(1) }
            try await retry { try await database.pull("ann") }
            for number in 1...20 { #expect(try await upload(number) == ["applied 1"]) }
            #expect(try await database.feed("ann").count == 20)
            #expect(try await database.verify().0 == [])
        }
    }

    /// Sends a request again until it is not refused as unavailable, as a client does.
    private func retry(_ request: () async throws -> some Any) async throws {
        let deadline = ContinuousClock.now + .seconds(60)
        while true {
            do {
                _ = try await request()
                return
            } catch let failure as RPCFailure
                where failure.status == .unavailable && .now < deadline
            {
                await Task.yield()
            }
        }
    }
}
