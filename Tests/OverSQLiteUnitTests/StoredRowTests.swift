import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// A server that stores rows otherwise than they are sent: it rounds `total`, gives each row a
/// `made` that it does not have yet, and counts the writes in `edits`.
@Suite(.timeLimit(.minutes(1))) struct StoredRowTests {
    private static let schema = """
        CREATE TABLE invoices (
          id TEXT PRIMARY KEY NOT NULL, total REAL, made TEXT, note TEXT, edits INTEGER)
        """

    @Sendable private static func store(_ payload: String) -> String {
        let object =
            (try? JSONSerialization.jsonObject(with: Data(payload.utf8))) as? [String: Any] ?? [:]
        func text(_ name: String) -> String? {
            (object[name] as? String).map { "\"\($0)\"" }
        }
        let total = (object["total"] as? Double).map { "\(($0 * 100).rounded() / 100)" }
        let edits = (object["edits"] as? Int ?? 0) + 1
        return """
            {"id":\(text("id") ?? "null"),"total":\(total ?? "null"),\
            "made":\(text("made") ?? "\"server\""),"note":\(text("note") ?? "null"),\
            "edits":\(edits)}
            """
    }

    private func device(
        _ name: String = "phone", _ gateway: InMemoryGateway = InMemoryGateway(),
        schema: String = schema
    ) throws -> Device {
        gateway.storeRows(of: "invoices", as: Self.store)
        return try Device(name, gateway, schema: schema, tables: [SyncTable("invoices")])
    }

    private func insert(_ device: Device) throws {
        try device.execute(
            "INSERT INTO invoices (id, total, note) VALUES ('\(key(1))', 1.239, 'a')")
    }

    /// After two syncs device and server have the same row, nothing waits, and a further sync sends
    /// nothing.
    private func expect(_ row: String, changes: Int, _ devices: Device...) async throws {
        for _ in 1...2 { for device in devices { try await device.sync() } }
        for device in devices {
            let sent = device.gateway.uploads.count
            try await device.sync()
            #expect(device.gateway.uploads.count == sent)
            #expect(try device.queue().isEmpty)
            #expect(
                try device.lines("SELECT total, made, note, edits FROM invoices") == [row],
                "\(device.name)")
            #expect(device.gateway.logCount() == changes)
            let stored = try #require(device.gateway.rows("invoices")[key(1)])
            let values = row.split(separator: "|", omittingEmptySubsequences: false)
            let wanted =
                #"{"id":"\#(key(1))","total":\#(values[0]),"made":"\#(values[1])","#
                + #""note":"\#(values[2])","edits":\#(values[3])}"#
            #expect(stored == wanted)
        }
    }

    @Test("the device that wrote a row ends with what the server stored, in one version")
    func own() async throws {
        let device = try device()
        try insert(device)
        try await expect("1.24|server|a|1", changes: 1, device)
        #expect(device.gateway.version("invoices", key(1)) == 1)
    }

    @Test("so do others, and their edits come back to it")
    func others() async throws {
        let phone = try device()
        let laptop = try device("laptop", phone.gateway)
        try insert(phone)
        try await expect("1.24|server|a|1", changes: 1, phone, laptop)
        try laptop.execute("UPDATE invoices SET total = 2.555, note = 'b'")
        try await expect("2.56|server|b|2", changes: 2, laptop, phone)
    }

    @Test("an edit between the answer and the download keeps what it edits, and takes the rest")
    func editBeforeDownload() async throws {
        let device = try device()
        try insert(device)
        try await device.engine.sendChanges()
        try device.execute("UPDATE invoices SET note = 'b'")
        try await expect("1.24|server|b|2", changes: 2, device)
    }

    @Test("an edit of the very column that was rounded stands")
    func editOfTheColumn() async throws {
        let device = try device()
        try insert(device)
        try await device.engine.sendChanges()
        try device.execute("UPDATE invoices SET total = 7.5")
        try await expect("7.5|server|a|2", changes: 2, device)
    }

    @Test("an edit while the row is in flight is kept, and the rest is taken")
    func editInFlight() async throws {
        let device = try device()
        try insert(device)
        device.gateway.next(
            .upload, .holdAnswer(until: device.writing("UPDATE invoices SET note = 'b'")))
        try await device.sync()
        try await device.sync()
        #expect(try device.value("SELECT made FROM invoices") == "server".databaseValue)
        #expect(try device.value("SELECT note FROM invoices") == "b".databaseValue)
        try await device.sync()
        #expect(try device.queue().isEmpty)
        let stored = try #require(device.gateway.rows("invoices")[key(1)])
        #expect(stored.contains(#""note":"b""#) && stored.contains(#""made":"server""#))
        let edits = try device.value("SELECT edits FROM invoices")
        #expect(stored.contains(#""edits":\#(Int.fromDatabaseValue(edits) ?? -1)"#))
    }

    @Test("after a lost answer the download confirms the row, and brings what was stored")
    func lostAnswer() async throws {
        let device = try device()
        try insert(device)
        device.gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.sync() }
        try await expect("1.24|server|a|1", changes: 1, device)
    }

    @Test("after a lost answer and an edit, the edit goes on top of what was stored")
    func lostAnswerAndEdit() async throws {
        let device = try device()
        try insert(device)
        device.gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.sync() }
        try device.execute("UPDATE invoices SET note = 'b'")
        try await expect("1.24|server|b|2", changes: 2, device)
    }

    @Test("so does an edit that is sent before anything is downloaded")
    func lostAnswerAndSend() async throws {
        let device = try device()
        try insert(device)
        device.gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.sync() }
        try device.execute("UPDATE invoices SET note = 'b'")
        try await device.engine.sendChanges()
        // The edit went out as the row stood here, without a number of edits: the server begins.
        try await expect("1.24|server|b|1", changes: 2, device)
    }

    @Test("an edit that was refused before the stored row came is sent again as that row")
    func refused() async throws {
        let device = try device()
        try insert(device)
        try await device.engine.sendChanges()
        try device.execute("UPDATE invoices SET note = 'b'")
        device.gateway.refuse("invoices", key(1), reason: "materialize_error")
        try await device.engine.sendChanges()
        #expect(try await device.engine.rejectedChanges.count == 1)
        device.gateway.refuse("invoices", key(1), reason: nil)
        try await device.engine.fetchChanges()
        #expect(try device.value("SELECT made FROM invoices") == "server".databaseValue)
        // Without waiting for the time of the retry.
        try await expect("1.24|server|b|2", changes: 2, device)
    }

    @Test("a row that was deleted meanwhile stays deleted")
    func deleted() async throws {
        let device = try device()
        try insert(device)
        try await device.engine.sendChanges()
        try device.execute("DELETE FROM invoices")
        for _ in 1...2 { try await device.sync() }
        #expect(try device.lines("SELECT id FROM invoices").isEmpty)
        #expect(device.gateway.rows("invoices").isEmpty)
        #expect(try device.queue().isEmpty)
    }

    @Test("a stored row that a constraint of this database refuses changes nothing")
    func refusedHere() async throws {
        let device = try device(
            schema: """
                CREATE TABLE invoices (
                  id TEXT PRIMARY KEY NOT NULL, total REAL, made TEXT CHECK (made IS NULL),
                  note TEXT, edits INTEGER)
                """)
        try insert(device)
        for _ in 1...2 { try await device.sync() }
        #expect(
            try device.lines("SELECT total, note FROM invoices") == ["1.239|a"])
        #expect(try device.queue().isEmpty)
        #expect(try await device.engine.heldRows.map(\.cause) == [.constraint])
    }

    @Test("a column that this device does not have is kept aside, and goes back as it was stored")
    func unknownColumn() async throws {
        let device = try device(
            schema: "CREATE TABLE invoices (id TEXT PRIMARY KEY NOT NULL, total REAL, note TEXT)")
        try insert(device)
        for _ in 1...2 { try await device.sync() }
        try device.execute("UPDATE invoices SET note = 'b'")
        try await device.sync()
        let upload = try #require(device.gateway.uploads.last)
        #expect(upload.contains(#""made":"server""#))
        #expect(upload.contains(#""total":1.24"#))
    }

    @Test("rows that were stored as they were sent stay, beside one that was not")
    func unchanged() async throws {
        let device = try Device()
        try device.execute("INSERT INTO users (id, name) VALUES ('\(key(1))', 'Ada')")
        for _ in 1...2 { try await device.sync() }
        device.gateway.storeRows(of: "users") { $0.replacing(#""age":null"#, with: #""age":5"#) }
        try device.execute("INSERT INTO users (id, name, age) VALUES ('\(key(2))', 'Bob', 7)")
        try device.execute("INSERT INTO users (id, name) VALUES ('\(key(3))', 'Eve')")
        try await device.engine.sendChanges()
        try await device.sync()
        #expect(
            try device.lines("SELECT name, age FROM users ORDER BY id")
                == ["Ada|-", "Bob|7", "Eve|5"])
    }
}
