import Foundation
import GRDB
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP
import Postgres
import Testing

@Suite("Devices prove equality", .timeLimit(.minutes(5)))
struct DevicesProveEquality {
    /// Neither side knows what it lacks: rows are altered without the library's or the services'
    /// knowledge.
    @Test("P8: a row that differs on either side is found, and both sides end alike")
    func altered() async throws {
        try await withStack { stack, postgres in
            let folder = stack.sockets + "-devices"
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let transport = try AsyncHTTPTransport(trusting: stack.authority)
            let phone = try await RestoredDevice("phone", stack, transport, folder)
            let laptop = try await RestoredDevice("laptop", stack, transport, folder)
            for number in 1...300 { try phone.insert(number) }
            for device in [phone, laptop] { try await device.syncUntilAnswered() }
            for device in [phone, laptop] { try await device.expectEquality() }

            // A page's row never came, and another is an old one.
            let lost = try laptop.alter(
                "WHERE name = '7'", "DELETE FROM _sync_rows WHERE key = ?1",
                "DELETE FROM users WHERE id = ?1")
            let old = try laptop.alter(
                "WHERE name = '8'", "UPDATE _sync_rows SET version = 0, term = 1 WHERE key = ?1",
                "UPDATE users SET name = 'old' WHERE id = ?1")
            let report = try await laptop.engine.verify()
            let found = try #require(report.tables.first)
            #expect(found.outcome == .repaired)
            #expect(Set(found.differingKeys) == [lost, old])
            #expect(try laptop.rows() == phone.rows())
            for device in [phone, laptop] { try await device.expectEquality() }

            // The server's log says something other than it told the devices, at the same version.
            try await withConnection(to: stack.database) { connection in
                try await connection.execute(
                    script: """
                        UPDATE sync.change_log
                        SET payload = replace(payload::text, '"9"', '"nine"')::json
                        WHERE payload ->> 'name' = '9'
                        """)
            }
            for device in [phone, laptop] {
                let report = try await device.engine.verify()
                #expect(report.tables.map(\.differingRows) == [1])
                #expect(try device.rows().contains("nine"))
                try await device.expectEquality()
            }
            try await transport.shutdown()
        }
    }
}

extension DevicesProveEquality {
    @Test("P8: values that only the app's table has are found by ranges of keys, and repaired")
    func alteredValues() async throws {
        try await withStack { stack, _ in
            let folder = stack.sockets + "-devices"
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let transport = try AsyncHTTPTransport(trusting: stack.authority)
            let phone = try await RestoredDevice("phone", stack, transport, folder)
            let laptop = try await RestoredDevice("laptop", stack, transport, folder)
            for number in 1...450 { try phone.insert(number) }
            for device in [phone, laptop] { try await device.syncUntilAnswered() }
            let (before, edited) = (try phone.rows(), Set(["7", "9", "440"]))
            var keys: Set<String> = []
            for name in edited {
                keys.insert(
                    try laptop.alter(
                        "WHERE name = '\(name)'", "UPDATE users SET name = 'x' WHERE id = ?1"))
            }
            // The books say what the device received, and that is right.
            try await laptop.expectEquality()
            let report = try await laptop.engine.verify(deep: true)
            let values = try #require(report.tables.first?.values)
            #expect(values.comparedRows == 450 && values.differingRows == 3)
            #expect(Set(values.differingRanges.map(\.first)) == keys)
            // The server has its owner and more, and no device has them.
            #expect(values.skippedColumns.map(\.cause) == [.serverOnly])
            for device in [phone, laptop] {
                #expect(try device.rows() == before)
                let again = try await device.engine.verify(deep: true)
                #expect(again.isEqual, "\(again)")
            }
            try await transport.shutdown()
        }
    }
}

extension RestoredDevice {
    /// Expects every table to be compared, and no row to differ.
    func expectEquality(sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let report = try await engine.verify()
        #expect(report.isEqual, "\(report)", sourceLocation: sourceLocation)
    }

    /// Alters a row as a fault would, unnoticed by the triggers.
    ///
    /// - Returns: the row's key.
    fileprivate func alter(_ which: String, _ statements: String...) throws -> String {
        var key = ""
        try write { db in
            key = try String.fetchOne(db, sql: "SELECT id FROM users \(which)") ?? ""
            try db.execute(sql: "INSERT INTO _sync_applying VALUES (1)")
            for statement in statements { try db.execute(sql: statement, arguments: [key]) }
            try db.execute(sql: "DELETE FROM _sync_applying")
            try db.execute(
                sql: "UPDATE _sync_state SET folded = (SELECT coalesce(max(seq), 0) FROM _sync_log)"
            )
        }
        return key
    }
}
