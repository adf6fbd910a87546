import Foundation
import GRDB
import OverSQLiteTestSupport
import Testing

@testable import OverSQLite

/// The watch stream: news without polling, and what happens when it fails.
@Suite(.timeLimit(.minutes(1))) struct WatchTests {
    /// A device whose loop runs, and its gateway.
    private static func start(
        offers features: [String] = ["watch"], longPoll: Int? = 25,
        before: (WatchableGateway) -> Void = { _ in }
    ) async throws -> (Device, WatchableGateway) {
        let gateway = InMemoryGateway()
        let watchable = gateway.watchable
        watchable.offer(features)
        before(watchable)
        let device = try Device("one", gateway) {
            $0.transport = watchable
            $0.longPoll = longPoll
        }
        try await device.engine.start()
        await EngineTests.status(device.engine) { $0.state == .idle && $0.lastSynced != nil }
        return (device, watchable)
    }

    private static func rows(_ device: Device, are wanted: Int) async throws {
        let counts = ValueObservation.tracking {
            try Int.fetchOne($0, sql: "SELECT count(*) FROM users") ?? 0
        }
        for try await count in counts.values(in: device.database) where count == wanted { break }
    }

    /// Polls, since the gateway has no event for it.
    private static func until(_ isSo: () -> Bool) async throws {
        let deadline = ContinuousClock.now + .seconds(30)
        while !isSo() {
            guard ContinuousClock.now < deadline else {
                Issue.record("it did not come to be")
                return
            }
            await Task.yield()
        }
    }

    private static func polls(_ device: Device) -> Int {
        device.gateway.requests.filter { $0.query["wait"] != nil }.count
    }

    @Test(
        "with a stream open nothing is polled, an idle hour costs no request, and news comes at once"
    )
    func news() async throws {
        let (device, gateway) = try await Self.start()
        try await Self.until { gateway.streams.open == 1 }
        let before = device.gateway.requests.count
        device.gateway.write("users", key(1), PullTests.user(1))
        try await Self.rows(device, are: 1)
        #expect(device.gateway.requests.count == before + 1)
        #expect(Self.polls(device) == 0)
        await device.engine.stop()
        #expect(gateway.streams.open == 0 && gateway.streams.opened == 1)
    }

    @Test("an answer that is no stream of events, or a compressed one, is refused")
    func heads() throws {
        func head(_ headers: [String: String], _ status: Int = 200) -> TransportResponse {
            TransportResponse(status: status, headers: headers)
        }
        let type = ["content-type": "Text/Event-Stream; charset=utf-8"]
        try WatchStream.check(head(type))
        for wrong in [
            head([:]), head(["content-type": "text/html"]), head(type, 204),
            head(type.merging(["content-encoding": "gzip"]) { $1 }),
        ] {
            #expect(throws: (any Error).self) { try WatchStream.check(wrong) }
        }
    }

    @Test("the device's own uploads are fetched past once, and the stream goes on")
    func ownWrites() async throws {
        let (device, gateway) = try await Self.start()
        try await Self.until { gateway.streams.open == 1 }
        let write = try await device.engine.write { db in
            try db.execute(sql: "INSERT INTO users (id) VALUES ('\(key(1))')")
        }
        try await write.confirmed()
        try await Self.until {
            (try? device.count("SELECT cursor FROM _sync_state")) == 1
        }
        let downloads = device.gateway.requests.filter { $0.path.hasSuffix("download") }
        #expect(downloads.count == 2 && Self.polls(device) == 0)
        await device.engine.stop()
        #expect(gateway.streams.opened == 1)
    }

    @Test("a stream that breaks is replaced by the long poll at once, and opened again later")
    func broken() async throws {
        let (device, gateway) = try await Self.start()
        try await Self.until { gateway.streams.open == 1 }
        gateway.breakStreams()
        try await Self.until { Self.polls(device) == 1 }
        device.gateway.write("users", key(1), PullTests.user(1))
        try await Self.rows(device, are: 1)
        #expect(gateway.streams.opened == 1)
        device.clock.advance(seconds: 1)
        try await Self.until { gateway.streams.open == 1 }
        #expect(gateway.streams.opened == 2)
        let polls = Self.polls(device)
        device.gateway.write("users", key(2), PullTests.user(2))
        try await Self.rows(device, are: 2)
        #expect(Self.polls(device) == polls)
        await device.engine.stop()
    }

    @Test("a stream that says nothing past its heartbeat is given up")
    func silent() async throws {
        let (device, gateway) = try await Self.start()
        try await Self.until { gateway.streams.open == 1 }
        // What comes by it shows that it is open.
        device.gateway.write("users", key(1), PullTests.user(1))
        try await Self.rows(device, are: 1)
        gateway.silence()
        device.gateway.write("users", key(2), PullTests.user(2))
        device.clock.advance(seconds: WatchStream.longestSilence - 1)
        #expect(gateway.streams.open == 1 && Self.polls(device) == 0)
        device.clock.advance(seconds: 2)
        try await Self.rows(device, are: 2)
        #expect(Self.polls(device) >= 1)
        await device.engine.stop()
    }

    @Test(
        "a stream that is refused, or is a portal's page, leaves the long poll in charge",
        arguments: [
            TransportResponse(status: 503, headers: ["retry-after": "70"]),
            TransportResponse(status: 200, headers: ["content-type": "text/html"]),
            TransportResponse(status: 403),
        ])
    func refused(_ response: TransportResponse) async throws {
        let (device, gateway) = try await Self.start {
            $0.gateway.next(.watch, .answerInstead(response))
        }
        try await Self.until { Self.polls(device) == 1 }
        device.gateway.write("users", key(1), PullTests.user(1))
        try await Self.rows(device, are: 1)
        #expect(gateway.streams.opened == 0)
        device.clock.advance(seconds: 71)
        try await Self.until { gateway.streams.open == 1 }
        await device.engine.stop()
    }

    @Test("a server that offers no watch is not asked for one again")
    func notOffered() async throws {
        let (device, gateway) = try await Self.start(offers: ["wait"])
        try await Self.until { Self.polls(device) == 1 }
        device.clock.advance(seconds: 10_000)
        device.gateway.write("users", key(1), PullTests.user(1))
        try await Self.rows(device, are: 1)
        #expect(gateway.streams.opened == 0)
        await device.engine.stop()
    }

    @Test("a portal's page in place of the capabilities costs one delay, not the stream for good")
    func portal() async throws {
        let (device, gateway) = try await Self.start {
            // The loop asks twice by itself: before and after it fetches.
            for _ in 1...3 { $0.gateway.next(.capabilities, .captivePortal) }
        }
        try await Self.until { Self.polls(device) == 1 }
        #expect(gateway.streams.opened == 0)
        device.clock.advance(seconds: 2)
        try await Self.until { gateway.streams.open == 1 }
        await device.engine.stop()
    }

    @Test("a paused engine holds no stream, a resumed one does again")
    func paused() async throws {
        let (device, gateway) = try await Self.start()
        try await Self.until { gateway.streams.open == 1 }
        device.engine.pause()
        try await Self.until { gateway.streams.open == 0 }
        device.engine.resume()
        try await Self.until { gateway.streams.open == 1 }
        await device.engine.stop()
    }

    @Test("without the long poll a stream that breaks is made up for by polling at the interval")
    func polling() {
        var machine = LoopMachine(
            pollInterval: 30, canPoll: false, canWatch: true, backoff: 1...60)
        machine.fetched(now: 100)
        machine.sent(retryAt: nil)
        #expect(machine.next(now: 100) == .watch)
        machine.watchBegan()
        machine.heard(.opened, now: 101, jitter: 1)
        #expect(machine.next(now: 101) == .wait(until: nil, poll: false))
        machine.heard(.ended(.broken(retryAfter: nil)), now: 102, jitter: 1)
        #expect(machine.next(now: 102) == .fetch)
        machine.fetched(now: 102)
        #expect(machine.next(now: 102) == .wait(until: 103, poll: false))
        #expect(machine.next(now: 103) == .watch)
        machine.watchBegan()
        machine.heard(.ended(.broken(retryAfter: 40)), now: 103, jitter: 1)
        #expect(machine.next(now: 103) == .wait(until: 132, poll: false))
    }

    @Test("delays double while streams break, and begin anew after one that lasted")
    func delays() {
        var rules = WatchRules(isPossible: true)
        var delays: [Double] = []
        for lasts in [0, 1, 59, 60, 0] {
            rules.began()
            rules.heard(.opened, now: 0, jitter: 1)
            rules.heard(.ended(.broken(retryAfter: nil)), now: Double(lasts), jitter: 1)
            delays.append((rules.dueAt ?? 0) - Double(lasts))
        }
        #expect(delays == [1, 2, 4, 1, 2])
    }

    @Test("events are read across any cut, with comments and either line end")
    func parsing() throws {
        let text =
            "retry: 1000\n\n: alive\n\nid: 5\r\nevent: change\r\ndata: {\"a\":1}\r\ndata:x\r\n\r\n"
        for size in 1...text.utf8.count {
            var parser = EventStreamParser()
            var events: [EventStreamParser.Event] = []
            var rest = Array(text.utf8)[...]
            while !rest.isEmpty {
                events += try parser.events(in: Array(rest.prefix(size)))
                rest = rest.dropFirst(size)
            }
            #expect(events == [.init(name: "change", data: "{\"a\":1}\nx")], "\(size)")
        }
        var parser = EventStreamParser()
        let long = [UInt8](repeating: 65, count: EventStreamParser.maximumLineBytes + 1)
        #expect(throws: EventStreamParser.LineTooLong.self) { try parser.events(in: long) }
    }
}
