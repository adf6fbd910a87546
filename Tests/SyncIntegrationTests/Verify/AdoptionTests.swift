import Model
import Postgres
import Sidecar
import Testing

@Suite("oversync adopt gives existing rows to their users")
struct AdoptionTests {
    @Test("Adoption brings existing rows to their users, once, also after an interruption")
    func adoption() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                SET session_replication_role = replica;
                INSERT INTO s.notes (id, owner, title)
                SELECT gen_random_uuid(), 'user' || i % 7, 'n' || i FROM generate_series(1, 3000) i;
                INSERT INTO s.tags SELECT 'code' || i, 'x' FROM generate_series(1, 50) i;
                RESET session_replication_role
                """)
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            let adoption = Adoption(reading: other, writing: database.sql)
            let notes = TableName(schema: "s", table: "notes")
            #expect(try await adoption.adopt(notes, owner: nil) { _ in } == 3000)
            #expect(try await adoption.adopt(notes, owner: nil) { _ in } == 0)
            let tags = TableName(schema: "s", table: "tags")
            await #expect(throws: RegistrationError.self) {
                _ = try await adoption.adopt(tags, owner: nil) { _ in }
            }
            await #expect(throws: RegistrationError.self) {
                _ = try await adoption.adopt(notes, owner: "ann") { _ in }
            }
            #expect(try await adoption.adopt(tags, owner: "ann") { _ in } == 50)
            #expect(try await database.download("ann").count == 50)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Writes that go on during an adoption are neither lost nor repeated")
    func adoptionOnline() async throws {
        try await SyncedDatabase.with { database in
            try await database.execute(
                """
                SET session_replication_role = replica;
                INSERT INTO s.notes (id, owner, title)
                SELECT gen_random_uuid(), 'user' || i % 3, 'n' || i FROM generate_series(1, 4000) i;
                RESET session_replication_role
                """)
            let reading = try await SyncedDatabase.connect(database.url)
            let writing = try await SyncedDatabase.connect(database.url)
            defer {
                reading.close()
                writing.close()
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    _ = try await Adoption(reading: reading, writing: writing).adopt(
                        .init(schema: "s", table: "notes"), owner: nil
                    ) { _ in }
                }
                group.addTask {
                    for round in 1...20 {
                        try await database.execute(
                            """
                            UPDATE s.notes SET title = title || '.'
                            WHERE ('x' || left(id::text, 2))::bit(8)::int % 20 = \(round - 1);
                            DELETE FROM s.notes
                            WHERE ('x' || left(id::text, 2))::bit(8)::int = \(round)
                            """)
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await database.verify().0 == [])
        }
    }
}
