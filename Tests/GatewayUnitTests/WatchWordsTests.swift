import RPC
import ServiceKit
import Testing

@testable import Gateway

/// What a watch tells its device, and when it asks another replica.
struct WatchWordsTests {
    private static let pruned = RPCFailure(.gone, code: "history_pruned", message: "start from 0")

    /// A watch at 5 whose first word has come.
    private func opened() -> WatchWords {
        var words = WatchWords(after: 5)
        words.hear(5)
        _ = words.began()
        return words
    }

    @Test func `each growth is told once; a slow device hears of the newest`() {
        var words = opened()
        #expect(words.opening == .open)
        #expect(words.next() == nil)
        words.hear(6)
        #expect(words.next() == .head(6))
        #expect(words.next() == nil)
        for head in Int64(7)...9 { words.hear(head) }
        let isAlive = words.comment()
        #expect(isAlive)
        #expect(words.next() == .head(9))
        #expect(words.next() == .comment)
        #expect(words.next() == nil)
    }

    @Test func `what was heard before the end is told`() {
        var words = opened()
        words.hear(8)
        words.end()
        #expect(words.isOver)
        #expect(words.next() == .head(8))
        #expect(words.next() == nil)
    }

    @Test func `a gateway that goes down says when to come back, as its last word`() {
        var words = opened()
        words.hear(8)
        words.sayGoodbye(pause: .milliseconds(1200))
        #expect(words.isOver)
        #expect(words.next() == .head(8))
        let goodbye = words.next()
        #expect(goodbye == .goodbye(pause: .milliseconds(1200)))
        #expect(goodbye?.text == "retry: 1200\n\n")
        #expect(words.next() == nil)
        // One that has not begun is refused: the device comes back as after any 503.
        var early = WatchWords(after: 5)
        early.sayGoodbye(pause: .seconds(1))
        #expect(early.opening == .refused(.draining))
    }

    @Test func `a replica that goes down before it has begun is followed by another`() {
        var words = WatchWords(after: 5)
        _ = words.began()
        let asks = words.lost(.draining)
        #expect(asks && !words.isOver && words.opening == nil)
    }

    @Test func `a replica that refuses ends the watch; one that goes away is followed by another`()
    {
        var refused = WatchWords(after: 5)
        let asksAnother = refused.lost(Self.pruned)
        #expect(!asksAnother)
        #expect(refused.opening == .refused(Self.pruned) && refused.isOver)
        for reason in [nil, RPCFailure.unavailable()] {
            var words = opened()
            let asks = words.lost(reason)
            #expect(asks && !words.isOver)
        }
        var revoked = opened()
        let asksForRevoked = revoked.lost(
            RPCFailure(.permissionDenied, code: "device_revoked", message: "revoked"))
        #expect(!asksForRevoked && revoked.isOver)
    }

    @Test func `a stream that ends before its beginning is known is asked for again once`() {
        var words = WatchWords(after: 5)
        words.hear(5)
        let early = words.lost(nil)
        #expect(!early)
        let begun = words.began()
        #expect(begun)
    }

    @Test func `pauses grow up to a limit, and start anew with the next word`() {
        var words = opened()
        let pauses = (0..<8).map { _ in words.takePause(jitter: 1) }
        #expect(pauses.first == .milliseconds(100) && pauses.last == .seconds(5))
        #expect(pauses == pauses.sorted())
        words.hear(6)
        #expect(words.takePause(jitter: 1) == .milliseconds(100))
    }

    @Test func `a watch that ends before it began was cancelled`() {
        var words = WatchWords(after: 5)
        words.end()
        #expect(words.opening == .refused(.cancelled))
    }
}

/// Moments that come.
struct AlarmScheduleTests {
    private let start = ContinuousClock.now

    @Test func `alarms ring in their order, none before its moment, late by no more than said`() {
        let late = AlarmSchedule<Int>.resolution
        var schedule = AlarmSchedule<Int>(start: start)
        for key in [3, 1, 2] { schedule.add(key, at: start + .milliseconds(100 * key + 1)) }
        #expect(schedule.take(until: start + .milliseconds(101) - .nanoseconds(1)).isEmpty)
        #expect(schedule.take(until: start + .milliseconds(101) + late) == [1])
        #expect(schedule.take(until: start + .seconds(9)) == [2, 3])
        #expect(schedule.isEmpty)
    }

    @Test func `what is set for a moment that has passed rings next`() {
        var schedule = AlarmSchedule<Int>(start: start)
        schedule.add(1, at: start - .seconds(5))
        #expect(schedule.take(until: start) == [1])
    }

    @Test func `an alarm rings once, without a service that runs`() async {
        let (rung, ring) = AsyncStream<Int>.makeStream()
        let alarms = Alarms<Int> { ring.yield($0) }
        alarms.set(1, at: .now + .milliseconds(80))
        alarms.set(2, at: .now)
        var order: [Int] = []
        for await key in rung {
            order.append(key)
            if order.count == 2 { break }
        }
        #expect(order == [2, 1])
    }
}

/// The `Date` header.
struct HTTPDateTests {
    @Test func `a date is written as HTTP wants it`() {
        #expect(HTTPDate.text(of: 784_111_777) == "Sun, 06 Nov 1994 08:49:37 GMT")
        let date = HTTPDate()
        #expect(date.text(at: 0) == "Thu, 01 Jan 1970 00:00:00 GMT")
        #expect(date.text(at: 1_709_164_800) == "Thu, 29 Feb 2024 00:00:00 GMT")
    }
}
