import Foundation
import GRDB
import OverSQLiteTestSupport
import WireJSON

@testable import OverSQLite

extension FuzzEntry {
    /// What a server answers, as a device reads it.
    static let answers = FuzzEntry(
        "answers", mostBytes: 4096,
        now: { bytes in
            let (choice, body) = bytes.chosen(of: 8)
            switch choice {
            case 0: try AnswerProbe.page(body)
            case 1:
                guard let answer = try? UploadAnswer(body: body) else { return }
                for status in answer.statuses {
                    guard case .applied(let version?) = status else { continue }
                    try hold(ProtocolNumber.range ~= version, "a version is bounded")
                }
            case 2:
                guard let digest = try? DigestAnswer(body: body) else { return }
                try hold(ProtocolNumber.range ~= digest.head, "a log's end is bounded")
            case 3: _ = try? JSONDecoder().decode(Capabilities.self, from: Data(body))
            case 4:
                guard let standing = try? JSONDecoder().decode(Standing.self, from: Data(body))
                else { return }
                try hold(ProtocolNumber.range ~= standing.highest, "a log's end is bounded")
                try hold(
                    ProtocolNumber.nextChangeIDs ~= standing.nextChangeID, "an id is bounded")
            case 5: try AnswerProbe.events(body)
            case 6: _ = TokenClaims(token: String(decoding: body, as: UTF8.self))
            default:
                let text = String(decoding: body, as: UTF8.self)
                let pair = HistoryPair(text: text)
                try hold(
                    pair.flatMap { HistoryPair(text: $0.text) } == pair, "a pair is read as written"
                )
                _ = HTTPDate.seconds(text)
                _ = TablesFingerprint(text: text)
            }
        })

    /// The same, applied by a device with an edit: it goes on, says what is wrong in an error of
    /// its own, and keeps the edit.
    static let sync = FuzzEntry(
        "sync", mostBytes: 2048,
        later: { bytes in
            let (choice, body) = bytes.chosen(of: 4)
            let endpoints: [GatewayEndpoint] = [.download, .upload, .bootstrap, .capabilities]
            let gateway = InMemoryGateway()
            gateway.write("users", AnswerProbe.theirs, #"{"name":"theirs"}"#)
            let database = try DatabaseQueue()
            try await database.write { db in
                try db.execute(
                    sql: "CREATE TABLE users (id TEXT PRIMARY KEY NOT NULL, name TEXT, n INTEGER)")
            }
            let engine = try AnswerProbe.engine(database, gateway)
            try await database.write { db in
                try db.execute(
                    sql: "INSERT INTO users (id, name) VALUES (?, 'mine')",
                    arguments: [AnswerProbe.mine])
            }
            gateway.next(
                endpoints[choice],
                .answerInstead(TransportResponse(status: 200, headers: [:], body: body)))
            for _ in 1...2 {
                do { try await engine.syncChanges() } catch is SyncError {}
            }
            gateway.clearFaults()
            let name = try await database.read { db in
                try String.fetchOne(
                    db, sql: "SELECT name FROM users WHERE id = ?", arguments: [AnswerProbe.mine])
            }
            try hold(name == "mine", "an answer has cost an edit")
        })
}

private enum AnswerProbe {
    static let theirs = "0b6f2a3e-6b1c-4c7e-9a55-2f4f0c9d1e01"
    static let mine = "0b6f2a3e-6b1c-4c7e-9a55-2f4f0c9d1e09"

    static func engine(
        _ database: DatabaseQueue, _ gateway: InMemoryGateway
    ) throws -> SyncEngine {
        guard let url = URL(string: "https://gateway.test") else {
            throw BrokenRule(description: "the address is one")
        }
        var configuration = SyncConfiguration(gateway: url, schema: "business")
        configuration.transport = gateway
        configuration.clock = ManualClock()
        configuration.randomness = { 1 }
        return try SyncEngine(
            for: database, tables: [SyncTable("users", conflictPolicy: .clientWins)],
            configuration: configuration,
            credentials: { InMemoryGateway.token(user: "user", device: "one") })
    }

    static func page(_ body: [UInt8]) throws {
        guard let page = try? DownloadPage(body: body, after: 0) else { return }
        try hold(
            ProtocolNumber.range ~= page.nextAfter && ProtocolNumber.range ~= page.windowUntil,
            "a cursor is bounded")
        for change in page.changes {
            try hold(
                ProtocolNumber.range ~= change.sequence && ProtocolNumber.range ~= change.version
                    && ProtocolNumber.range ~= change.changeID, "a change's numbers are bounded")
            guard let payload = change.payload else { continue }
            try hold(
                body.indices.contains(payload.upperBound - 1), "a payload lies in its page")
            try body.withUnsafeBufferPointer { try decode($0, payload) }
        }
    }

    /// Each value as each kind of column has it.
    private static func decode(_ body: UnsafeBufferPointer<UInt8>, _ payload: Range<Int>) throws {
        let row = UnsafeBufferPointer(rebasing: body[payload])
        let decoder = ValueDecoder(bytes: row)
        var reader = JSONReader(row)
        do throws(JSONError) {
            try reader.readObject { reader, _ throws(JSONError) in
                let value = try reader.skipValue()
                for affinity in [
                    Affinity.text, .integer, .real, .numeric, .blob, .none, .json,
                ] {
                    let decoded = try? decoder.decode(value, as: affinity)
                    _ = decoded?.value(in: row)
                }
            }
        } catch {
            throw BrokenRule(description: "a payload that was read is none: \(error)")
        }
    }

    static func events(_ stream: [UInt8]) throws {
        var (whole, single) = (EventStreamParser(), EventStreamParser())
        let events = try? whole.events(in: stream)
        var one: [EventStreamParser.Event]? = []
        for byte in stream {
            guard let more = try? single.events(in: [byte]) else {
                one = nil
                break
            }
            one?.append(contentsOf: more)
        }
        try hold(events == one, "events do not depend on how they come")
    }
}
