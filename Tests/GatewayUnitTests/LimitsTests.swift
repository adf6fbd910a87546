import HTTPTypes
import Model
import Testing

@testable import Gateway

/// Allowances that refill, and who uses them up.
struct LimitsTests {
    private let start = ContinuousClock.now

    @Test func `a bucket gives what it holds, then what flows in`() {
        var bucket = TokenBucket(rate: 10, capacity: 3, now: start)
        for _ in 0..<3 { #expect(bucket.take(1, now: start) == nil) }
        let wait = bucket.take(1, now: start)
        #expect(wait == .seconds(0.1))
        #expect(bucket.take(1, now: start + .milliseconds(50)) == nil)  // Above zero is enough.
        #expect(bucket.take(1, now: start + .milliseconds(50)) != nil)
        // It never holds more than it can, and time that goes back gives nothing.
        var count = 0
        while bucket.take(1, now: start + .seconds(100)) == nil { count += 1 }
        #expect(count == 3)
        #expect(bucket.take(1, now: start) != nil)
    }

    @Test func `what was used beyond the allowance is waited for`() {
        var bucket = TokenBucket(rate: 100, capacity: 100, now: start)
        bucket.charge(1100, now: start)
        #expect(bucket.take(1, now: start + .seconds(9.9)) != nil)
        #expect(bucket.take(1, now: start + .seconds(10.1)) == nil)
    }

    @Test func `no wait is told that is longer than an hour`() {
        var bucket = TokenBucket(rate: 1, capacity: 1, now: start)
        bucket.charge(1e30, now: start)
        #expect(bucket.take(1, now: start) == .seconds(3600))
    }

    @Test func `one user's allowance is not another's`() throws {
        let limits = RateLimits(requestsPerSecond: 2, bytesPerSecond: 0)
        var served = 0
        while (try? limits.enter(UserID("ann"), now: start)) != nil { served += 1 }
        #expect(served == 8)
        try limits.enter(UserID("bob"), now: start)
        let refused = #expect(throws: WireError.self) {
            try limits.enter(UserID("ann"), now: start)
        }
        #expect(refused?.status.code == 429 && refused?.retryAfter == 1)
        try limits.enter(UserID("ann"), now: start + .seconds(1))
    }

    @Test func `users whose names are the same text in other bytes are different ones`() throws {
        let limits = RateLimits(requestsPerSecond: 1, bytesPerSecond: 0)
        while (try? limits.enter(UserID("\u{E9}va"), now: start)) != nil {}
        try limits.enter(UserID("e\u{301}va"), now: start)
    }

    @Test func `bytes count too, both ways`() throws {
        let limits = RateLimits(requestsPerSecond: 0, bytesPerSecond: 1000)
        try limits.enter(UserID("ann"), now: start)
        limits.charge(UserID("ann"), bytes: 5000, now: start)
        let refused = #expect(throws: WireError.self) {
            try limits.enter(UserID("ann"), now: start)
        }
        #expect(refused?.retryAfter == 2)
        try limits.enter(UserID("ann"), now: start + .seconds(2))
    }

    @Test func `without limits nobody is counted`() throws {
        let limits = RateLimits(requestsPerSecond: 0, bytesPerSecond: 0)
        for _ in 0..<10_000 { try limits.enter(UserID("ann"), now: start) }
    }

    @Test func `a refusal waits, and further ones than may wait do not`() async {
        let pause = RefusalPause()
        let begun = ContinuousClock.now
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<RefusalPause.perUser { group.addTask { await pause.wait(for: "ann") } }
            while pause.count < RefusalPause.perUser { await Task.yield() }
            await pause.wait(for: "ann")
            // All others wait still: had this one waited, they would be done before it.
            #expect(pause.count == RefusalPause.perUser)
            await group.waitForAll()
        }
        #expect(.now - begun >= RefusalPause.length)
        #expect(pause.count == 0)
    }
}
