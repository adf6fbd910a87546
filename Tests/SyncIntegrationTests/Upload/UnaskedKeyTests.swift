import DatabaseKit
import Foundation
import Model
import NIOCore
import Postgres
import Protos
import RPC
import Sidecar
import Testing

@testable import DownloadService
@testable import UploadService

/// Clients that are older than integer keys: to them it is as if the tables were not there.
@Suite("Clients that do not ask for integer keys")
struct UnaskedKeyTests {
    @Test("Pages pass over the tables, capabilities, digests and fingerprints leave them out")
    func unseen() async throws {
        try await SyncedDatabase.with(
            tables: IntegerKeyTests.tables, registered: IntegerKeyTests.registered
        ) { database in
            let before = try await database.readable(keyKinds: [])
            try await database.upload(
                "ann", change(1, "INSERT", "notes", id("a1"), #"{"title":"a"}"#),
                change(2, "INSERT", "orders", "1", #"{"title":"b"}"#),
                change(3, "INSERT", "notes", id("a2"), #"{"title":"c"}"#),
                change(4, "INSERT", "orders", "2", #"{"title":"d"}"#))
            let asked: [([String], Int)] = [([], 2), (["integer"], 4), (["number"], 2)]
            for (kinds, count) in asked {
                let reply = try await database.pull("ann", keyKinds: kinds) {
                    $0.includeSelf = true
                }
                let page = String(buffer: reply.body)
                #expect(page.matches(of: /"server_id"/).count == count)
                #expect(page.contains(#""has_more":false,"next_after":4"#))
                let (fingerprint, names) = try await database.readable(keyKinds: kinds)
                #expect(names.contains("s.orders") == (count == 4))
                #expect((fingerprint == before.fingerprint) == (count == 2))
            }
            // As if there were none.
            let others = try await database.value(
                "SELECT string_agg(schema_name || '.' || table_name, ' ') FROM sync.catalog "
                    + "WHERE key_kind <> 'integer'")
            #expect(Set(before.names) == Set((others ?? "").split(separator: " ").map(String.init)))
        }
    }

    @Test("Their uploads to such tables are rejected, and say what to send; others are applied")
    func uploads() async throws {
        try await SyncedDatabase.with(
            tables: IntegerKeyTests.tables, registered: IntegerKeyTests.registered
        ) { database in
            let result = try await database.upload(
                "ann", keyKinds: [], change(1, "INSERT", "orders", "1", "{}"),
                change(2, "INSERT", "notes", id("a1"), "{}"))
            guard case .invalid(let rejection) = result.outcomes[0] else {
                Issue.record("\(result.outcomes[0])")
                return
            }
            #expect(rejection.reason == .forbiddenTable)
            #expect(rejection.message?.contains("Oversync-Key-Kinds: integer") == true)
            #expect(result.outcomes[1].line == "applied 1")
            // A device that may not write to the table hears nothing of its keys.
            let closed = try RegistrationFile.parse(
                "tables:\n  - {table: s.orders, owner: owner, write: [editor]}")
            try await Registration.apply(closed, on: database.sql)
            let url = try PostgresConfiguration(url: database.url)
            let later = try SyncedDatabase(database.url, database.sql, reaching: url)
            for kinds in [[], SyncedDatabase.keyKinds] {
                let outcome = try await later.upload(
                    "ann", keyKinds: kinds, change(3, "INSERT", "orders", "1", "{}")
                ).outcomes[0]
                guard case .invalid(let rejection) = outcome else {
                    Issue.record("\(outcome)")
                    return
                }
                #expect(rejection.message?.hasPrefix("no role of this token may write") == true)
            }
        }
    }
}

extension SyncedDatabase {
    /// What capabilities say of the tables that a caller may read.
    fileprivate func readable(
        keyKinds: [String]
    ) async throws -> (fingerprint: String, names: [String]) {
        let caller = CallerIdentity(user: "ann", device: "phone", keyKinds: keyKinds)
        let catalog = try await source.catalog(
            for: Caller(caller), told: nil, by: .now + .seconds(30))
        let tables = catalog.readableTables(to: Caller(caller))
        return (tables.fingerprint, tables.names)
    }
}
