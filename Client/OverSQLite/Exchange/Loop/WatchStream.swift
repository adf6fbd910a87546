import Foundation
import Synchronization

/// Keeps `/sync/watch` open while the loop runs, and reports its events to the loop.
struct WatchStream: Sendable {
    /// Seconds within which the stream must begin.
    static let patienceToOpen = 10.0
    /// Seconds without a byte after which the stream counts as broken. The gateway sends a comment
    /// every 25 seconds.
    static let longestSilence = 60.0

    let session: SyncSession
    let link: WatchLink

    /// The stream was silent for too long.
    private struct Silent: Error {}
    /// The answer is not an event stream.
    private struct Refused: Error { let retryAfter: Int? }

    /// The state of reading the stream.
    private final class Hearing: Sendable {
        private struct State {
            var parser = EventStreamParser()
            var deadline: Double
        }
        private let state: Mutex<State>

        init(deadline: Double) { state = Mutex(State(deadline: deadline)) }

        var deadline: Double { state.withLock { $0.deadline } }

        func prolong(to deadline: Double) { state.withLock { $0.deadline = deadline } }

        func events(in bytes: [UInt8]) throws -> [EventStreamParser.Event] {
            try state.withLock { try $0.parser.events(in: bytes) }
        }
    }

    /// Returns when the stream has ended, after reporting the reason to the loop.
    func run() async {
        link.tell(.ended(await end()))
    }

    private func end() async -> WatchEnd {
        let hearing = Hearing(deadline: session.now + Self.patienceToOpen)
        do {
            return try await withThrowingTaskGroup(of: WatchEnd.self) { group in
                group.addTask { try await follow(hearing) }
                group.addTask {
                    await link.halted()
                    return .halted
                }
                group.addTask {
                    while session.now < hearing.deadline {
                        try await session.configuration.clock.sleep(
                            seconds: hearing.deadline - session.now)
                    }
                    throw Silent()
                }
                defer { group.cancelAll() }
                return try await group.next() ?? .halted
            }
        } catch let rejection as Refused {
            return .broken(retryAfter: rejection.retryAfter)
        } catch {
            return .broken(retryAfter: nil)
        }
    }

    private func follow(_ hearing: Hearing) async throws -> WatchEnd {
        guard try await session.capabilities().offers(.watch) else { return .unsupported }
        let state = try await session.read { db in try DeviceStateTable(db: db).read() }
        try await session.gateway.watch(
            after: state.cursor, history: state.history, tables: state.tables,
            tellsTables: !session.namesNoTables
        ) { part in
            switch part {
            case .head(let head):
                try Self.check(head)
                link.tell(.opened)
            case .bytes(let bytes):
                for event in try hearing.events(in: bytes) { try await take(event) }
            }
            hearing.prolong(to: session.now + Self.longestSilence)
        }
        return .broken(retryAfter: nil)
    }

    /// Refuses a compressed stream: if something in between compresses it, events may be delayed
    /// while the stream looks open.
    static func check(_ head: TransportResponse) throws {
        let type = head.headers["content-type"]?.lowercased() ?? ""
        let encoding = head.headers["content-encoding"]?.lowercased() ?? "identity"
        let isStream = type.hasPrefix("text/event-stream") && encoding == "identity"
        guard head.status == 200, isStream else {
            throw Refused(retryAfter: head.retryAfter)
        }
    }

    /// Ignores what the device already has, such as the echo of its own upload.
    private func take(_ event: EventStreamParser.Event) async throws {
        guard event.name == "change" else { return }
        let change = try JSONDecoder().decode(Change.self, from: Data(event.data.utf8))
        if try await cursor() != change.highest { link.tell(.news) }
    }

    private struct Change: Decodable {
        let highest: Int64

        enum CodingKeys: String, CodingKey { case highest = "highest_server_seq" }
    }

    private func cursor() async throws -> Int64 {
        try await session.read { db in try DeviceStateTable(db: db).read().cursor }
    }
}

/// Carries reports from the stream to the loop, and the order to end from the loop to the stream.
final class WatchLink: Sendable {
    private let wake: Signal
    private let reports = Mutex<[WatchReport]>([])
    private let halt = Signal()

    init(wake: Signal) { self.wake = wake }

    func tell(_ report: WatchReport) {
        reports.withLock { if $0.last != report { $0.append(report) } }
        wake.raise(.watch)
    }

    /// The reports since the last call.
    func take() -> [WatchReport] {
        reports.withLock { reports in
            defer { reports = [] }
            return reports
        }
    }

    /// A stream begins. Forgets an order to halt an earlier one.
    func begin() { _ = halt.take() }

    func end() { halt.raise(.pause) }

    /// Returns when the loop wants the stream to end, or when the task is cancelled.
    func halted() async { await halt.wait() }
}
