@testable import DownloadService
import Foundation
import Model
import NIOCore
import Postgres
import Protos
import RPC
import SwiftProtobuf
import Testing
@testable import UploadService

@Suite("A user with many devices")
struct ManyDevicesTests {
    /// ann with one device and bob with many, each with a log of a few changes.
    private static func withMany(
        _ devices: Int, _ body: (SyncedDatabase) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with { database in
            for user in ["ann", "bob"] {
                try await database.upload(
                    user, device: "device-1", change(1, "INSERT", "prefs", "first", "{}"))
            }
            try await database.execute(
                """
                INSERT INTO sync.source (scope_id, source_no, device)
                SELECT scope_id, n, 'device-' || n
                FROM sync.scope, generate_series(2, \(devices)) AS n WHERE user_id = 'bob'
                """)
            try await body(database)
        }
    }

    /// Adds a change of each device with these numbers to bob's log.
    ///
    /// - Parameter payload: an SQL expression.
    private static func addChanges(
        of devices: ClosedRange<Int>, payload: String = "'{}'::json", _ database: SyncedDatabase
    ) async throws {
        try await database.execute(
            """
            WITH added AS (
                INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload,
                    source_no, source_change_id, content_hash)
                SELECT s.scope_id, s.last_seq + row_number() OVER (ORDER BY n), c.table_id, 'I',
                    convert_to('k' || n || '-' || s.last_seq, 'UTF8'), 1, \(payload), n, 100, 0
                FROM sync.scope s, sync.catalog c,
                    generate_series(\(devices.lowerBound), \(devices.upperBound)) AS n
                WHERE s.user_id = 'bob' AND c.table_name = 'prefs'
                RETURNING seq
            )
            UPDATE sync.scope SET last_seq = (SELECT max(seq) FROM added) WHERE user_id = 'bob'
            """)
    }

    @Test("A page and an upload's reading touch as many buffers with 20 000 devices as with one")
    func buffers() async throws {
        // As many names come along as fit into two pages of the table and two of its index.
        let slack = 8
        let page = "0, 100, 100, NULL"
        try await Self.withMany(20_000) { database in
            try await database.execute("VACUUM ANALYZE sync.source")
            let settings = PostgresConfiguration.serviceSession
                .map { "SET \($0.key) = '\($0.value)';" }.joined(separator: " ")
            try await database.execute(settings)
            let scope = DownloadStatements.ReadScope.statement
            let attempts: [(Statement, values: String)] = [
                (scope, "'device-1', \(SourceNames.alongWithPage)"), (scope, "'device-1', 0"),
                (DownloadStatements.ReadPage.statement, "\(page), 'device-1'"),
                (DownloadStatements.ReadPage.statement, "\(page), NULL"),
                (DownloadStatements.ReadWholePage.statement, "0, 100, 100"),
                (DownloadStatements.ReadSourceNames.statement, "'{1}'"),
                (DownloadStatements.ReadBootstrap.statement, "'device-1'"),
                (UploadStatements.ReadSource.statement, "'device-1'"),
                (UploadStatements.ReadKnownChanges.statement, "'device-1', '{1}', '{1}', '{}'"),
                (UploadStatements.CreateSource.statement, "'device-new', NULL"),
            ]
            for (statement, values) in attempts {
                let one = try await Self.buffers(statement, values, of: "ann", database)
                let many = try await Self.buffers(statement, values, of: "bob", database)
                #expect(one > 0)
                #expect(many <= one + slack, "\(statement.name): \(one) became \(many)")
            }
            // What these would be with each device read.
            let all = try await Self.buffers(
                Statement(
                    name: "all",
                    sql: "SELECT device FROM sync.source WHERE scope_id = $1 AND $2 > ''",
                    parameters: [.int8, .text]), "", of: "bob", database)
            #expect(all > 100)
        }
    }

    /// Buffers that one execution touches, once all is in memory; it is taken back.
    ///
    /// - Parameter values: those after the scope and its user.
    private static func buffers(
        _ statement: Statement, _ values: String, of user: String, _ database: SyncedDatabase
    ) async throws -> Int {
        let scope = try #require(
            try await database.value(
                "SELECT scope_id::text FROM sync.scope WHERE user_id = '\(user)'"))
        let values = ["\(scope)", "'\(user)'"] + (values.isEmpty ? [] : [values])
        let oids = statement.parameters.map { "\($0.rawValue)" }.joined(separator: ",")
        let types = try #require(
            try await database.value(
                """
                SELECT string_agg(format_type(o, NULL), ', ' ORDER BY n)
                FROM unnest('{\(oids)}'::oid[]) WITH ORDINALITY AS u(o, n)
                """))
        try await database.execute("PREPARE measured(\(types)) AS \(statement.sql)")
        var touched = 0
        for _ in 0..<2 {
            try await database.execute("BEGIN")
            let text = try await database.value(
                """
                EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)
                EXECUTE measured(\(values.joined(separator: ", ")))
                """)
            try await database.execute("ROLLBACK")
            let json = try JSONSerialization.jsonObject(with: Data((text ?? "").utf8))
            let plan = try #require((json as? [[String: Any]])?.first?["Plan"] as? [String: Any])
            touched = ["Shared Hit Blocks", "Shared Read Blocks"]
                .reduce(0) { $0 + (plan[$1] as? Int ?? 0) }
        }
        try await database.execute("DEALLOCATE measured")
        return touched
    }

    @Test(
        "Each change has its device's name, also where more devices wrote than names come along",
        arguments: [false, true], [false, true])
    func names(asProtobuf: Bool, includesOwn: Bool) async throws {
        let devices = 2 * SourceNames.alongWithPage + 10
        try await Self.withMany(devices) { database in
            try await Self.addChanges(of: 2...devices, database)
            // Of nobody, as plain SQL writes, and of a device that nobody knows.
            try await database.execute("INSERT INTO s.prefs VALUES ('bob', 'plain', 'x')")
            try await Self.addChanges(of: devices + 1...devices + 1, database)
            let asker = "device-\(devices / 2)"
            var request = PullChangesRequest()
            request.limit = 1000
            request.includeSelf = includesOwn
            request.asProtobuf = asProtobuf
            let page = try await database.read(request, user: "bob", device: asker)
            let expected =
                (1...devices).map { "device-\($0)" }.filter { includesOwn || $0 != asker }
                + ["", ""]
            #expect(try Self.sources(page, asProtobuf) == expected)
            // And one whose devices are all among the newest.
            request.after = page.nextAfter - 4
            let last = try await database.read(request, user: "bob", device: asker)
            #expect(try Self.sources(last, asProtobuf) == Array(expected.suffix(4)))
        }
    }

    @Test(
        "So has each change of a page with large rows, which are read one by one",
        arguments: [false, true])
    func largeRows(asProtobuf: Bool) async throws {
        let devices = 2 * SourceNames.alongWithPage
        // Larger than what comes with a page at once, also when it is compressed.
        let large = "json_build_object('value', repeat('large ', 20000))"
        try await Self.withMany(devices) { database in
            try await Self.addChanges(of: 2...3, database)
            try await Self.addChanges(of: 4...5, payload: large, database)
            try await Self.addChanges(of: 6...devices, database)
            var request = PullChangesRequest()
            request.limit = 1000
            request.includeSelf = true
            request.asProtobuf = asProtobuf
            let page = try await database.read(request, user: "bob", device: "reader")
            #expect(try Self.sources(page, asProtobuf) == (1...devices).map { "device-\($0)" })
        }
    }

    @Test("A revoked device is refused whether its name comes along or not, and no other is")
    func revoked() async throws {
        let devices = SourceNames.alongWithPage + 10
        for count in [2, SourceNames.alongWithPage - 1, SourceNames.alongWithPage, devices] {
            try await Self.withMany(count) { database in
                var revoked: Set<Int> = []
                for number in [1, count] {
                    revoked.insert(number)
                    try await database.execute(
                        "UPDATE sync.source SET revoked_at = now() WHERE source_no = \(number)")
                    for asker in Set([1, 2, count / 2 + 1, count]) {
                        let isRevoked = try await Self.isRevoked(
                            "bob", DeviceID("device-\(asker)"), database)
                        #expect(isRevoked == revoked.contains(asker), "\(asker) of \(count)")
                    }
                }
                #expect(try await !Self.isRevoked("bob", DeviceID("never seen"), database))
            }
        }
    }

    /// By a page, and by a reading of the log's state alone.
    private static func isRevoked(
        _ user: String, _ device: DeviceID, _ database: SyncedDatabase
    ) async throws -> Bool {
        func refuses(_ read: () async throws -> Void) async throws -> Bool {
            do {
                try await read()
                return false
            } catch let failure as RPCFailure where failure.code == "device_revoked" {
                return true
            }
        }
        let page = try await refuses {
            _ = try await database.page(user, device: device.value)
        }
        let state = try await refuses {
            _ = try await database.reader.readScope(
                UserID(user), device, deadline: .now + .seconds(30))
        }
        #expect(page == state)
        return page
    }

    private static func sources(_ page: Page, _ asProtobuf: Bool) throws -> [String] {
        let bytes = Data(page.body.readableBytesView)
        if asProtobuf {
            return try BodyDownloadResponse(serializedBytes: bytes).changes.map(\.sourceID)
        }
        let body = try JSONSerialization.jsonObject(with: bytes) as? [String: Any]
        let changes = body?["changes"] as? [[String: Any]] ?? []
        return changes.map { $0["source_id"] as? String ?? "?" }
    }
}
