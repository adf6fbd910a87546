import Model
import Postgres
import Testing

@testable import Sidecar
@testable import UploadService

/// What counts, however a device sends it and at whatever point counting cuts the log.
@Suite("Counting for quotas") struct QuotaCountingTests {
    private static let long = String(repeating: "x", count: 900)
    /// Room for one long row, not for two.
    private static let settings = QuotaTests.settings(bytes: 1200)

    private static func edit(
        _ change: Int, of number: Int, base: Int, _ payload: String = "{}",
        _ operation: String = "UPDATE"
    ) -> String {
        SyncIntegrationTests.change(
            change, operation, "notes", id("\(number)"), base: base, payload)
    }

    @Test("A row is as long as before for a change that leaves columns out, whatever else it has")
    func partial() async throws {
        try await SyncedDatabase.with(settings: Self.settings) { database in
            let row = QuotaTests.whole(Self.long)
            let junk = #"{"title":"","a":1,"b":1,"c":1,"d":1,"e":1,"f":1}"#
            let answers = try await database.outcomes(
                "ann", QuotaTests.insertion(1, row), Self.edit(2, of: 1, base: 1))
            #expect(answers == ["applied 1", "applied 2"])
            let next = QuotaTests.insertion(9, row)
            #expect(try await database.outcomes("ann", next) == [QuotaTests.full], "in one upload")
            let edits = [
                Self.edit(3, of: 1, base: 2), Self.edit(4, of: 1, base: 3, junk),
                Self.edit(5, of: 1, base: 4, "{}", "INSERT"),
            ]
            for (place, edit) in edits.enumerated() {
                #expect(try await database.outcomes("ann", edit) == ["applied \(place + 3)"])
                #expect(try await database.outcomes("ann", next) == [QuotaTests.full], "\(edit)")
            }
            #expect(try await database.counted("ann") == "1 \(row.utf8.count)")
            // Not the whole row, and longer.
            let longer = #"{"title":"\#(Self.long)\#(Self.long.prefix(200))"}"#
            let more = try await database.outcomes("ann", Self.edit(6, of: 1, base: 5, longer))
            #expect(more == ["applied 6"])
            #expect(try await database.counted("ann") == "1 \(longer.utf8.count)")
            let short = QuotaTests.whole("")
            let whole = try await database.outcomes("ann", Self.edit(7, of: 1, base: 6, short))
            #expect(whole == ["applied 7"])
            #expect(try await database.counted("ann") == "1 \(short.utf8.count)")
            #expect(try await database.outcomes("ann", next) == ["applied 1"])
        }
    }

    @Test("A row that is made anew counts with what it is made of")
    func anew() async throws {
        try await SyncedDatabase.with(settings: Self.settings) { database in
            let row = QuotaTests.whole(Self.long)
            try await database.upload("ann", QuotaTests.insertion(1, row))
            #expect(try await database.counted("ann") == "1 \(row.utf8.count)")
            try await database.upload("ann", QuotaTests.deletion(2, of: 1))
            try await database.upload("ann", Self.edit(3, of: 1, base: 2))
            #expect(try await database.counted("ann") == "1 2")
        }
    }

    @Test("A log is counted change by change as it is in one go")
    func cuts() async throws {
        try await SyncedDatabase.with { database in
            let row = QuotaTests.whole(Self.long)
            let bytes = Int64(row.utf8.count)
            try await database.upload(
                "ann", QuotaTests.insertion(1, row), Self.edit(2, of: 1, base: 1))
            try await database.upload(
                "ann", QuotaTests.insertion(3, row), QuotaTests.insertion(4, row),
                QuotaTests.deletion(5, of: 3))
            try await database.upload("ann", Self.edit(6, of: 3, base: 2))
            func count(_ storedBytes: Int64) async throws -> Usage {
                var count = UploadStatements.CountUsage(scope: try await database.named("ann"))
                count.storedBytes = storedBytes
                return try #require(try await database.sql.run(count).first())
            }
            // Each stretch has one change with a payload.
            let steps = [
                (1, bytes), (1, bytes), (2, 2 * bytes), (3, 3 * bytes), (3, 2 * bytes + 2),
            ]
            for (place, step) in steps.enumerated() {
                let usage = try await count(1)
                let isBehind = place < steps.count - 1
                #expect(
                    usage == Usage(rows: Int64(step.0), bytes: step.1, isBehind: isBehind),
                    "step \(place)")
            }
            #expect(try await database.counted("ann") == "3 \(2 * bytes + 2)")
            try await database.execute(
                """
                UPDATE sync.row_state SET counted_bytes = NULL;
                DELETE FROM sync.usage
                """)
            let whole = try await count(UploadStatements.CountUsage.maximumStoredBytes)
            #expect(whole == Usage(rows: 3, bytes: 2 * bytes + 2))
            let again = try await count(1)
            #expect(again == whole, "nothing is new")
        }
    }

    @Test("JSON that PostgreSQL stores and its functions do not read stops no upload")
    func unreadable() async throws {
        try await SyncedDatabase.with(settings: Self.settings) { database in
            try await database.execute(
                """
                INSERT INTO s.notes (id, owner, title, extra)
                VALUES ('\(id("1"))', 'ann', '\(Self.long)', '{"a":"\\u0000\\ud800"}')
                """)
            #expect(try await database.outcomes("ann", QuotaTests.insertion(2)) == ["applied 1"])
            try await database.execute("UPDATE s.notes SET title = '' WHERE title IS NOT NULL")
            #expect(try await database.outcomes("ann", QuotaTests.insertion(3)) == ["applied 1"])
            let counted = try await database.counted("ann")
            #expect(counted?.hasPrefix("3 1") == true, "\(counted ?? "") bytes, as before")
        }
    }

    @Test("A change without room is none that its table refused")
    func blocked() async throws {
        try await SyncedDatabase.with(settings: QuotaTests.settings(rows: 1)) { database in
            try await database.upload("ann", change(1, "INSERT", "items", id("1"), #"{"n":1}"#))
            try await database.execute(
                "REVOKE INSERT, UPDATE ON s.items FROM \(ServiceRole.upload.defaultName)")
            let answers = try await database.outcomes(
                "ann", change(2, "INSERT", "items", id("2"), #"{"n":2}"#),
                change(3, "UPDATE", "items", id("1"), base: 1, #"{"n":3}"#))
            #expect(answers == [QuotaTests.full, "materialize_error 42501"])
            let failures = try await database.value(
                """
                SELECT string_agg(concat_ws(' ', source_change_id, sqlstate), ',')
                FROM sync.materialize_failures
                """)
            #expect(failures == "3 42501")
        }
    }

    @Test("Beside a refused row, a delete of the same upload frees room for what stands before it")
    func freed() async throws {
        try await SyncedDatabase.with(settings: QuotaTests.settings(rows: 3)) { database in
            try await database.upload(
                "ann", QuotaTests.insertion(1), QuotaTests.insertion(2),
                change(3, "INSERT", "items", id("3"), #"{"n":1}"#))
            let answers = try await database.outcomes(
                "ann", QuotaTests.insertion(4), QuotaTests.insertion(5),
                change(6, "UPDATE", "items", id("3"), base: 1, #"{"n":"none"}"#),
                QuotaTests.deletion(7, of: 1), QuotaTests.deletion(8, of: 2))
            #expect(
                answers == [
                    "applied 1", "applied 1", "materialize_error 22P02", "applied 2", "applied 2",
                ])
            try await database.expectCounted("ann", rows: 3)
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("Operators are told what is counted; without a count, rows up to a bound and no bytes")
    func shown() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload(
                "ann", QuotaTests.insertion(1), QuotaTests.insertion(2), QuotaTests.insertion(3))
            try await database.upload("ann", QuotaTests.deletion(4, of: 3))
            func summary(_ rows: Int64) async throws -> UserSummary {
                try #require(
                    try await database.sql.run(
                        DeviceAdministration.ReadUser(user: UserID("ann"), rows: rows)
                    ).first())
            }
            let all = try await summary(3)
            #expect(all.rows == 2 && !all.hasMoreRows && all.bytes == nil)
            let some = try await summary(1)
            #expect(some.rows <= 2 && some.hasMoreRows && some.bytes == nil)
            #expect(try await database.counted("ann") == "2 4")
            let counted = try await summary(1)
            #expect(counted.rows == 2 && !counted.hasMoreRows && counted.bytes == 4)
            try await database.execute(
                "INSERT INTO s.notes (id, owner) VALUES ('\(id("9"))', 'ann')")
            let behind = try await summary(9)
            #expect(behind.rows == 3 && behind.bytes == nil)
            // What was counted is told nevertheless, and up to where.
            #expect(behind.countedBytes == 4 && all.countedBytes == nil)
            #expect(try #require(behind.countedSequence) < behind.lastSequence)
            #expect(counted.countedSequence == counted.lastSequence)
        }
    }
}

extension SyncedDatabase {
    func named(_ user: String) async throws -> NamedScope {
        let id = try await value(
            "SELECT scope_id::text FROM sync.scope WHERE user_id = '\(user)'")
        return NamedScope(id: try #require(id.flatMap { Int64($0) }), user: UserID(user))
    }

    /// The rows and bytes of a user, once what came last is counted.
    func counted(_ user: String) async throws -> String? {
        let count = UploadStatements.CountUsage(scope: try await named(user))
        while try await sql.run(count).first()?.isBehind == true {}
        return try await value(
            """
            SELECT concat_ws(' ', live_rows, payload_bytes) FROM sync.usage
            WHERE scope_id = \(count.scope.id)
            """)
    }

    /// The counters say what the rows are, whose newest changes say all of them.
    func expectCounted(
        _ user: String, rows: Int? = nil, sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let counted = try await self.counted(user)
        let scope = try await named(user).id
        let each = try await value(
            """
            SELECT concat_ws(' ', count(counted_bytes), coalesce(sum(counted_bytes), 0))
            FROM sync.row_state WHERE scope_id = \(scope)
            """)
        let newest = try await value(
            """
            SELECT concat_ws(' ', count(*), coalesce(sum(octet_length(l.payload::text)), 0))
            FROM sync.row_state r JOIN sync.change_log l USING (scope_id, seq)
            WHERE scope_id = \(scope) AND NOT r.deleted
            """)
        let summary = try #require(try await Devices.summary(of: UserID(user), on: sql))
        #expect(counted == newest, sourceLocation: sourceLocation)
        #expect(each == newest, sourceLocation: sourceLocation)
        #expect(
            counted == "\(summary.rows) \(summary.bytes ?? -1)", sourceLocation: sourceLocation)
        if let rows { #expect(summary.rows == rows, sourceLocation: sourceLocation) }
    }
}
