import Foundation
import GapCheck
import NIOCore

/// A device that follows its user's log.
struct LogReader: Sendable {
    /// How it waits for news.
    enum Kind: CaseIterable, Sendable { case longPoll, watch }

    /// Rows of one page.
    private static let limit = 500
    /// How long a question may wait for news, in seconds. Short: the load ends between two questions.
    private static let waitSeconds = 5

    let user: String
    let kind: Kind
    let wire: PersistentWire
    let tally: LoadTally
    private var cursor: Int64 = 0

    init(user: String, kind: Kind, wire: PersistentWire, tally: LoadTally) {
        self.user = user
        self.kind = kind
        self.wire = wire
        self.tally = tally
    }

    /// Reads until the load is over and there is no more.
    mutating func run() async throws {
        while !tally.isOver {
            switch kind {
            case .longPoll: _ = try await read("&wait=\(Self.waitSeconds)")
            case .watch: try await watch()
            }
        }
        while try await read() {}
    }

    /// - Returns: whether there is more.
    private mutating func read(_ query: String = "") async throws -> Bool {
        let path = "/sync/download?after=\(cursor)&limit=\(Self.limit)&include_self=true\(query)"
        guard let answer = try await wire.get(path) else { return false }
        let page = try LogPage(answer)
        for change in page.changes {
            guard change.server_id == cursor + 1 else {
                throw FatalAnswer(
                    "\(user)'s log goes from \(cursor) to \(change.server_id) in one page")
            }
            cursor = change.server_id
        }
        tally.read(page.changes.count)
        return page.has_more
    }

    private mutating func watch() async throws {
        var events = WatchEvents()
        var reader = self
        try await wire.stream("/sync/watch?after=\(cursor)") { piece in
            for head in events.take(piece) where head > reader.cursor {
                while try await reader.read() {}
            }
            return reader.tally.isOver
        }
        self = reader
    }
}

/// One page of a log, as far as it matters here.
struct LogPage: Decodable {
    struct Change: Decodable {
        let server_id: Int64
        let pk: String
        let server_version: Int
        let source_id: String
        let source_change_id: Int
    }

    let changes: [Change]
    let has_more: Bool

    init(_ answer: Data) throws {
        do {
            self = try JSONDecoder().decode(LogPage.self, from: answer)
        } catch {
            let text = String(decoding: answer.prefix(500), as: UTF8.self)
            throw FatalAnswer("the answer to a download is not a page: \(text)")
        }
    }
}
