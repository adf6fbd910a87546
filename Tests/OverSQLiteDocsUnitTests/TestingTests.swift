// begin: app
import Foundation
import GRDB
import OverSQLite
import OverSQLiteTestSupport
import Testing

struct Note: Codable, Equatable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "notes"

    var id = UUID().uuidString.lowercased()
    var text: String
}

enum NotesDatabase {
    static let tables = [SyncTable("notes")]

    static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("notes") { db in
            try db.create(table: "notes") { table in
                table.primaryKey("id", .text)
                table.column("text", .text).notNull()
            }
        }
        return migrator
    }
}
// end

// begin: scope
func withNotes(
    _ gateway: any TestTransport, isolation: isolated (any Actor)? = #isolation,
    _ test: (TestDevices) async throws -> Void
) async throws {
    try await withTestDevices(
        gateway, tables: NotesDatabase.tables,
        migrate: { try NotesDatabase.migrator.migrate($0) }, test)
}
// end

// begin: two-devices
@Test("a note written on the phone reaches the laptop")
func reachesLaptop() async throws {
    try await withNotes(InMemoryGateway()) { devices in
        let phone = try devices.add("phone")
        let laptop = try devices.add("laptop")
        let note = Note(text: "milk")
        try await phone.database.write { try note.insert($0) }
        try await phone.engine.syncChanges()
        try await laptop.engine.syncChanges()
        #expect(try await laptop.database.read { try Note.fetchAll($0) } == [note])
    }
}
// end

// begin: other-writers
@Test("a note that another device has written is there after the next sync")
func writtenElsewhere() async throws {
    let gateway = InMemoryGateway()
    try await withNotes(gateway) { devices in
        let phone = try devices.add("phone")
        let note = Note(text: "bread")
        gateway.write("notes", note.id, #"{"id":"\#(note.id)","text":"bread"}"#)
        try await phone.engine.syncChanges()
        #expect(try await phone.database.read { try Note.fetchAll($0) } == [note])
    }
}
// end

// begin: leftovers
@Test("a test that forgets to sync fails")
func forgetsToSync() async throws {
    await #expect(throws: TestLeftovers.self) {
        try await withNotes(InMemoryGateway()) { devices in
            let phone = try devices.add("phone")
            try await phone.database.write { try Note(text: "milk").insert($0) }
        }
    }
}
// end

// begin: offline
@Test("a note written offline is shown as not sent")
func offline() async throws {
    let network = FaultyTransport(InMemoryGateway())
    network.always(.any, .loseRequest)
    try await withNotes(network) { devices in
        let phone = try devices.add("phone")
        let note = Note(text: "milk")
        try await phone.database.write { try note.insert($0) }
        await #expect(throws: SyncError.self) { try await phone.engine.syncChanges() }
        #expect(try phone.unsyncedRows() == ["notes \(note.id): pending"])
        phone.allowPendingAtEnd()
    }
}
// end

// begin: faults
@Test("an answer lost on the way writes nothing twice")
func lostAnswer() async throws {
    let gateway = InMemoryGateway()
    let network = FaultyTransport(gateway)
    try await withNotes(network) { devices in
        let phone = try devices.add("phone")
        try await phone.database.write { try Note(text: "milk").insert($0) }
        network.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await phone.engine.syncChanges() }
        try await phone.engine.syncChanges()
        #expect(gateway.logCount() == 1)
    }
}

@Test("what was written behind a captive portal is sent when the portal is passed")
func captivePortal() async throws {
    let gateway = InMemoryGateway()
    let network = FaultyTransport(gateway)
    try await withNotes(network) { devices in
        let phone = try devices.add("phone")
        try await phone.database.write { try Note(text: "milk").insert($0) }
        network.always(.any, .captivePortal)
        await #expect(throws: SyncError.self) { try await phone.engine.syncChanges() }
        network.clearFaults()
        try await phone.engine.syncChanges()
        #expect(gateway.rows("notes").count == 1)
    }
}
// end

// begin: refusal
@Test("a note that the server refuses is offered for another try")
func refused() async throws {
    let gateway = InMemoryGateway()
    try await withNotes(gateway) { devices in
        let phone = try devices.add("phone")
        let note = Note(text: "milk")
        gateway.refuse("notes", note.id, reason: "bad_payload")
        try await phone.database.write { try note.insert($0) }
        try await phone.engine.syncChanges()
        let change = try #require(try await phone.engine.rejectedChanges.first)
        #expect(change.reason == "bad_payload")
        gateway.refuse("notes", note.id, reason: nil)
        try await phone.engine.retry(change)
        try await phone.engine.syncChanges()
    }
}
// end

// begin: time
@Test("the app tries again by itself when the network is back", .timeLimit(.minutes(1)))
func triesAgain() async throws {
    let network = FaultyTransport(InMemoryGateway())
    try await withNotes(network) { devices in
        let phone = try devices.add("phone")
        network.always(.any, .loseRequest)
        try await phone.engine.start()
        for await status in phone.engine.statusUpdates {
            if case .waiting = status.state { break }
        }
        network.clearFaults()
        phone.clock.advance(seconds: 60)
        try await phone.engine.waitForFirstSync()
    }
}
// end

// begin: watch
@Test("news is there at once, also after the stream has broken", .timeLimit(.minutes(1)))
func watching() async throws {
    let gateway = InMemoryGateway()
    let watchable = gateway.watchable
    try await withNotes(watchable) { devices in
        let phone = try devices.add("phone")
        try await phone.engine.start()
        let counts = ValueObservation.tracking { try Note.fetchCount($0) }
        for try await count in counts.values(in: phone.database) {
            if count == 1 { watchable.breakStreams() }
            if count == 2 { break }
            let id = UUID().uuidString.lowercased()
            gateway.write("notes", id, #"{"id":"\#(id)","text":"milk"}"#)
        }
    }
}
// end

// begin: older-server
@Test("an older server will do", arguments: [false, true])
func olderServer(isOld: Bool) async throws {
    let gateway = InMemoryGateway()
    if isOld { gateway.actLikeOlderServer() }
    try await withNotes(gateway) { devices in
        let phone = try devices.add("phone")
        let laptop = try devices.add("laptop")
        try await phone.database.write { try Note(text: "milk").insert($0) }
        try await phone.engine.syncChanges()
        try await laptop.engine.syncChanges()
        #expect(try await laptop.database.read { try Note.fetchCount($0) } == 1)
    }
}
// end
