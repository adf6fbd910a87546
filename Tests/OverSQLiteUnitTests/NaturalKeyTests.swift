import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// A back end renames a key that rows refer to, with ON UPDATE CASCADE: the old row goes, a new one
/// comes, and the rows that refer to it come with the new key.
@Suite struct NaturalKeyTests {
    private static let actions = [
        "ON DELETE CASCADE", "ON UPDATE CASCADE ON DELETE CASCADE", "ON DELETE SET NULL",
        "ON DELETE SET DEFAULT", "",
    ]

    private static func device(
        _ action: String, adjust: @escaping (inout SyncConfiguration) -> Void = { _ in }
    ) throws -> Device {
        try Device(
            schema: """
                CREATE TABLE teams (code TEXT PRIMARY KEY NOT NULL, name TEXT);
                CREATE TABLE players (id TEXT PRIMARY KEY NOT NULL,
                  team TEXT REFERENCES teams (code) \(action), score INTEGER);
                CREATE TABLE goals (id TEXT PRIMARY KEY NOT NULL,
                  player TEXT NOT NULL REFERENCES players (id) ON DELETE CASCADE, minute INTEGER);
                """,
            tables: [
                SyncTable("teams", keyKind: .text), SyncTable("players"), SyncTable("goals"),
            ], adjust: adjust)
    }

    private static func player(_ number: Int, _ team: String, score: Int = 1) -> String {
        #"{"id":"\#(key(number))","team":"\#(team)","score":\#(score)}"#
    }

    private static func fill(_ device: Device, players: Int = 2) async throws {
        device.gateway.write("teams", "UK", #"{"code":"UK","name":"Britain"}"#)
        for number in 1...players {
            device.gateway.write("players", key(number), player(number, "UK"))
        }
        try await device.sync()
    }

    /// The changes of the rename in one of the orders in which they may be in the log.
    private static func rename(_ device: Device, players: Int = 2, order: Int = 0) {
        let old = { _ = device.gateway.write("teams", "UK", nil) }
        let new = {
            _ = device.gateway.write("teams", "GB", #"{"code":"GB","name":"Britain"}"#)
        }
        let rows = {
            for number in 1...players {
                device.gateway.write("players", key(number), player(number, "GB"))
            }
        }
        let steps = [[old, new, rows], [rows, old, new], [new, old, rows], [new, rows, old]]
        for step in steps[order] { step() }
    }

    private static let rows = "SELECT team, score FROM players ORDER BY id"

    @Test(
        "an unsent edit of a child is kept, and nothing else is sent",
        arguments: actions, [0, 1, 2, 3])
    func unsentEdit(action: String, order: Int) async throws {
        let device = try Self.device(action)
        try await Self.fill(device)
        try device.execute("UPDATE players SET score = 99 WHERE id = ?", [key(1)])
        try device.execute("INSERT INTO goals VALUES (?, ?, 7)", [key(9), key(2)])
        Self.rename(device, order: order)
        try await device.sync()
        #expect(try device.lines("SELECT code FROM teams") == ["GB"])
        #expect(try device.lines(Self.rows) == ["GB|99", "GB|1"])
        #expect(try device.lines("SELECT minute FROM goals") == ["7"])
        let sent = try #require(device.gateway.rows("players")[key(1)])
        #expect(sent.contains(#""team":"GB""#) && sent.contains(#""score":99"#))
        let own = device.gateway.log().filter { $0.device == "one" }
        #expect(own.map(\.pk).sorted() == [key(1), key(9)])
        #expect(own.allSatisfy { $0.operation != "DELETE" })
        #expect(try device.queue().isEmpty)
        #expect(try await device.engine.settledConflicts.allSatisfy { $0.lost.isEmpty })
    }

    @Test(
        "so it is where the children come with the next pages, and where nothing is unsent",
        arguments: actions, [true, false])
    func laterPage(action: String, edits: Bool) async throws {
        let device = try Self.device(action) { $0.pageLimit = 2 }
        try await Self.fill(device, players: 5)
        if edits { try device.execute("UPDATE players SET score = 99 WHERE id = ?", [key(4)]) }
        let uploads = device.gateway.uploads.count
        Self.rename(device, players: 5)
        try await device.sync()
        let expected = (1...5).map { $0 == 4 && edits ? "GB|99" : "GB|1" }
        #expect(try device.lines(Self.rows) == expected)
        #expect(device.gateway.uploads.count == uploads + (edits ? 1 : 0))
        #expect(try device.lines("SELECT code FROM teams") == ["GB"])
        #expect(device.engine.status.heldCount == 0 && device.engine.status.pendingCount == 0)
    }

    @Test("an edit that was sent and not answered is kept, too: the old parent waits for it")
    func unanswered() async throws {
        let device = try Self.device("ON DELETE CASCADE")
        try await Self.fill(device, players: 1)
        try device.execute("UPDATE players SET score = 99")
        device.gateway.next(.upload, .loseAnswer)
        await #expect(throws: SyncError.self) { try await device.sync() }
        device.gateway.write("teams", "UK", nil)
        device.gateway.write("teams", "GB", #"{"code":"GB","name":"Britain"}"#)
        device.gateway.write("players", key(1), Self.player(1, "GB", score: 99))
        try await device.engine.fetchChanges()
        #expect(try device.lines(Self.rows) == ["UK|99"])
        #expect(
            Set(try await device.engine.heldRows.map(\.cause)) == [.unanswered, .stillReferredTo])
        try await device.sync()
        try await device.sync()
        #expect(try device.lines(Self.rows) == ["GB|99"])
        #expect(try device.lines("SELECT code FROM teams") == ["GB"])
        #expect(device.engine.status.heldCount == 0 && device.engine.status.pendingCount == 0)
        #expect(device.gateway.rows("players")[key(1)]?.contains("99") == true)
    }

    @Test("children whose new version waits for a unique value are not deleted with the old parent")
    func heldChild() async throws {
        let device = try Self.device("ON DELETE CASCADE")
        try await Self.fill(device)
        try device.execute("CREATE UNIQUE INDEX one ON players (team, score) WHERE score > 1")
        try device.reopen()
        device.gateway.write("players", key(1), Self.player(1, "UK", score: 5))
        try await device.sync()
        device.gateway.write("teams", "UK", nil)
        device.gateway.write("teams", "GB", #"{"code":"GB","name":"Britain"}"#)
        for number in 1...2 {
            device.gateway.write("players", key(number), Self.player(number, "GB", score: 5))
        }
        try await device.sync()
        #expect(try device.count("SELECT count(*) FROM players") == 2)
        #expect(try await device.engine.heldRows.map(\.cause).contains(.stillReferredTo))
        device.gateway.write("players", key(1), Self.player(1, "GB", score: 6))
        try await device.sync()
        #expect(try device.lines(Self.rows) == ["GB|6", "GB|5"])
        #expect(try device.lines("SELECT code FROM teams") == ["GB"])
        #expect(try device.queue().isEmpty)
    }

    @Test("a row that is deleted and comes back under its key keeps the rows below it")
    func backAgain() async throws {
        let device = try Self.device("ON DELETE CASCADE")
        try await Self.fill(device)
        device.gateway.write("teams", "UK", nil)
        device.gateway.write("teams", "UK", #"{"code":"UK","name":"again"}"#)
        try await device.sync()
        #expect(try device.lines("SELECT code, name FROM teams") == ["UK|again"])
        #expect(try device.count("SELECT count(*) FROM players") == 2)
        #expect(try device.queue().isEmpty)
    }

    @Test("parents and children that the server deletes go without a trace, in any order")
    func allGone() async throws {
        let device = try Self.device("ON DELETE CASCADE") { $0.pageLimit = 3 }
        try await Self.fill(device)
        device.gateway.write(
            "goals", key(9), #"{"id":"\#(key(9))","player":"\#(key(1))","minute":1}"#)
        try await device.sync()
        device.gateway.write("teams", "UK", nil)
        device.gateway.write("players", key(1), nil)
        device.gateway.write("players", key(2), nil)
        device.gateway.write("goals", key(9), nil)
        try await device.sync()
        for table in ["teams", "players", "goals"] {
            #expect(try device.count("SELECT count(*) FROM \(table)") == 0)
        }
        #expect(device.gateway.uploads.isEmpty)
        #expect(device.engine.status.heldCount == 0)
    }
}
