import AsyncHTTPClient
import NIOHTTP1
import OperatorKit
import WireJSON

/// A device that follows its user's log to the end, in one of three ways.
struct FeedReader: Sendable {
    enum Kind: String, Sendable {
        case cursor, longPoll = "long poll", watch
    }

    /// Between two questions of a reader that has everything and was not told of more.
    private static let pause: Duration = .milliseconds(20)
    /// How long a question may wait for news, in seconds.
    private static let waitSeconds = 20

    let name: String
    let kind: Kind
    let limit: Int
    let device: GapDevice
    /// It begins when so much is written.
    let startsAt: Int64
    var check: FeedCheck

    private var cursor: Int64 = 0
    /// The window that a reader by cursor goes through before it asks for a new one.
    private var window: Int64?
    private var pages = 0

    init(
        _ name: String, _ kind: Kind, limit: Int, device: GapDevice, startsAt: Int64 = 0,
        check: FeedCheck
    ) {
        self.name = name
        self.kind = kind
        self.limit = limit
        self.device = device
        self.startsAt = startsAt
        self.check = check
    }

    /// What has come of it.
    struct Report: Sendable {
        let name: String
        let kind: Kind
        let limit: Int
        let pages: Int
        let elapsed: Duration
        var check: FeedCheck
    }

    private var progress: GapProgress { device.progress }
    private var isDone: Bool { progress.head.map { cursor >= $0 } ?? false }

    /// Reads until the log's end, or until it is cancelled because nothing moves any more.
    mutating func run() async throws -> Report {
        var start = ContinuousClock.now
        do {
            while progress.changes < startsAt { try await Task.sleep(for: Self.pause) }
            start = .now
            progress.move(name, to: 0)
            while !isDone { try await step() }
            // There is nothing after the end.
            try await read()
        } catch is CancellationError {
        } catch let error as JSONError {
            check.note(.page(after: cursor, what: "an unreadable answer: \(error)"))
        }
        return Report(
            name: name, kind: kind, limit: limit, pages: pages, elapsed: .now - start,
            check: check)
    }

    private mutating func step() async throws {
        switch kind {
        case .cursor:
            let before = cursor
            try await read(window.map { "&until=\($0)" } ?? "")
            if cursor == before { try await Task.sleep(for: Self.pause) }
        case .longPoll: try await read("&wait=\(Self.waitSeconds)")
        case .watch: try await watch()
        }
    }

    /// Takes one page.
    private mutating func read(_ query: String = "") async throws {
        let include = check.own == nil ? "&include_self=true" : ""
        let page = try await device.download(after: cursor, limit: limit, query: include + query)
        pages += 1
        if let flaw = page.flaw(after: cursor, limit: limit) {
            check.note(.page(after: cursor, what: flaw))
        }
        for change in page.changes { check.take(change) }
        cursor = page.nextAfter
        window = page.hasMore ? page.windowUntil : nil
        progress.move(name, to: cursor)
    }

    /// Downloads what a watch announces, until the watch ends.
    private mutating func watch() async throws {
        guard let response = try await device.open("/sync/watch?after=\(cursor)"),
            response.status == .ok
        else { return try await Task.sleep(for: Self.pause) }
        var events = WatchEvents()
        do {
            for try await piece in response.body {
                for head in events.take(piece) {
                    while cursor < head {
                        let before = cursor
                        try await read()
                        // Another replica, which has not heard of it yet.
                        if cursor == before { try await Task.sleep(for: Self.pause) }
                    }
                }
                if isDone { return }
            }
        } catch let error where !(error is StackError || error is JSONError) {
            // A stream that breaks is opened again.
            try Task.checkCancellation()
        }
    }
}
