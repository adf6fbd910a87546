@testable import DownloadService
import Model
import Postgres
@testable import Sidecar
import Testing
@testable import UploadService

/// The tag of a change: what it is, and that everybody computes the same.
@Suite("Tags of changes")
struct TagTests {
    @Test("Its bytes are fixed: SQL and Swift give the same for the same values")
    func golden() async throws {
        let changes = [
            TaggedChange(
                sequence: 7, operation: UInt8(ascii: "U"), version: 3, changeID: 41,
                contentHash: -5, microsecondsSince2000: 823_176_000_123_456,
                key: Array(0..<16)),
            TaggedChange(
                sequence: 1, operation: UInt8(ascii: "I"), version: 1, changeID: 1, contentHash: 0,
                microsecondsSince2000: 0, key: Array("é x".utf8)),
        ]
        let tags: [UInt64] = [0x8BF2_D5BC_71AA_B5AA, 0x690E_D086_C908_8BD0]
        #expect(changes.map(\.tag) == tags)
        #expect(changes[0].pair.text == "7-8bf2d5bc71aab5aa")
        try await SyncedDatabase.with { database in
            let sql = """
                SELECT sync.change_tag(7, 'U', 3, 41, -5, '2026-01-31 12:00:00.123456Z',
                    '\\x000102030405060708090a0b0c0d0e0f')::text,
                    sync.change_tag(1, 'I', 1, 1, 0, '2000-01-01Z', 'é x')::text
                """
            let row = try await database.sql.run(Command(Statement(name: "golden", sql: sql)))
            for (column, tag) in tags.enumerated() {
                #expect(try row.string(0, column) == "\(Int64(bitPattern: tag))")
            }
        }
    }

    @Test("Of changes of all kinds, uploads' and plain SQL's, SQL and Swift give the same tag")
    func everyKind() async throws {
        try await SyncedDatabase.with { database in
            try await Self.write(database)
            let scope = NamedScope(id: 1, user: UserID("ann"))
            let head = try await database.head()
            #expect(head > 10)
            for sequence in 1...head {
                let read = try await database.sql.run(
                    ReadTaggedChange(scope: scope, sequence: Int64(sequence))
                ).first()
                let pair = try #require(try await database.pair(sequence))
                #expect(read?.pair == pair)
            }
            let plain = try await database.value(
                "SELECT count(*)::text FROM sync.change_log WHERE content_hash = 0")
            #expect(plain != "0")
        }
    }

    @Test("After each upload the scope has its last change's tag; plain SQL leaves it behind")
    func ofScope() async throws {
        try await SyncedDatabase.with { database in
            var tagged = 0
            try await Self.write(database) {
                let head = try await database.head()
                let scope = try await database.value(
                    """
                    SELECT last_tag::text FROM sync.scope
                    WHERE user_id = 'ann' AND tagged_seq = last_seq
                    """)
                guard let scope else { return }
                tagged += 1
                let pair = try await database.pair(head)
                #expect(scope == pair.map { "\(Int64(bitPattern: $0.tag))" }, "at \(head)")
            }
            #expect(tagged >= 6)
        }
    }

    @Test("What is uploaded has the time at which its log was locked, not when it began to wait")
    func time() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", noteChange(1))
            let other = try await SyncedDatabase.connect(database.url)
            defer { other.close() }
            try await other.execute(
                script: "BEGIN; SELECT FROM sync.scope WHERE user_id = 'ann' FOR UPDATE")
            async let uploaded = database.upload("ann", noteChange(2))
            try await database.expectWaiting(1)
            let moment = try #require(try await database.value("SELECT clock_timestamp()::text"))
            try await other.execute(script: "COMMIT")
            _ = try await uploaded
            let later = try await database.value(
                "SELECT (ts > '\(moment)')::text FROM sync.change_log WHERE seq = 2")
            #expect(later == "true")
        }
    }

    /// Changes of ann's of every kind.
    private static func write(
        _ database: SyncedDatabase, _ then: () async throws -> Void = {}
    ) async throws {
        func upload(_ changes: String...) async throws {
            try await database.upload("ann", changes.joined(separator: ","))
            try await then()
        }
        func execute(_ sql: String) async throws {
            try await database.execute(sql)
            try await then()
        }
        try await upload(noteChange(1), noteChange(2), change(3, "INSERT", "tags", "é x", "{}"))
        try await upload(change(4, "INSERT", "prefs", "p", #"{"value":"1"}"#))
        try await upload(
            noteChange(5, base: 1, key: "1", "b"), noteChange(6, base: 2, key: "1", "c"))
        try await upload(
            change(7, "INSERT", "items", id("a"), #"{"note_id":"\#(id("1"))","n":1}"#))
        // Its items go with it: the last change is plain SQL's, so to speak.
        try await upload(change(8, "DELETE", "notes", id("1"), base: 3))
        // The stored row takes the payload's place.
        try await upload(
            change(9, "INSERT", "notes", id("9"), #"{"at":"2026-01-31 12:00:00+01"}"#))
        // One is refused, and the rest is written by parts.
        try await upload(
            noteChange(10), change(11, "INSERT", "items", id("b"), #"{"n":"many"}"#), noteChange(12)
        )
        try await execute(
            "INSERT INTO s.notes (id, owner, title) VALUES ('\(id("20"))', 'ann', 'sql')")
        try await execute("UPDATE s.notes SET title = 'more' WHERE owner = 'ann'")
        try await upload(noteChange(13))
        try await execute("DELETE FROM s.notes WHERE id = '\(id("20"))'")
        // Nothing new: the log stays as it is.
        try await upload(noteChange(13))
    }
}
