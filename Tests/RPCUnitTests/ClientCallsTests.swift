import Testing

@testable import RPC

/// Deadlines on one connection of a client, without a clock.
struct ClientCallsTests {
    let start = ContinuousClock.now

    @Test func `a call expires once, at its deadline`() {
        var calls = ClientCalls()
        calls.begin(1, deadline: start + .milliseconds(100))
        calls.begin(2, deadline: start + .seconds(60))
        #expect(calls.expire(now: start + .milliseconds(80)) == [])
        #expect(calls.expire(now: start + .milliseconds(100)) == [1])
        #expect(calls.expire(now: start + .milliseconds(120)) == [])
        let outcome70 = calls.end(1)
        #expect(!outcome70)
        let outcome71 = calls.end(2)
        #expect(outcome71)
    }

    @Test func `a connection that is given up ends with its last call`() {
        var calls = ClientCalls()
        calls.begin(1, deadline: start + .seconds(60))
        calls.goAway()
        #expect(!calls.isDone)
        let outcome79 = calls.end(1)
        #expect(outcome79)
        #expect(calls.isDone)
    }
}
