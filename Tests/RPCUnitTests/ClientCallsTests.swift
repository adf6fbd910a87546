import Testing

@testable import RPC

/// Deadlines and silence on one connection of a client, without a clock.
struct ClientCallsTests {
    let start = ContinuousClock.now
    let limits = RPCLimits()

    /// Ticks as often as the shell does, and collects what is to be done and when.
    private func tick(
        _ calls: inout ClientCalls, from: Duration, to: Duration
    ) -> [(Duration, ClientCalls.TickAction)] {
        var actions: [(Duration, ClientCalls.TickAction)] = []
        var time = from
        while time <= to {
            actions += calls.tick(now: start + time).map { (time, $0) }
            time += RPCLimits.sweepInterval
        }
        return actions
    }

    @Test func `a silent server is pinged, then ejected, within a second`() {
        var calls = ClientCalls(limits: limits, now: start)
        calls.begin(1, deadline: start + .seconds(60), now: start)
        let actions = tick(&calls, from: .milliseconds(20), to: .milliseconds(1000))
        #expect(actions.first?.1 == .ping)
        #expect(actions.first?.0 == .milliseconds(260))
        let ejected = actions.first { $0.1 == .eject }?.0
        #expect(ejected == .milliseconds(900))
    }

    @Test func `any byte is a sign of life`() {
        var calls = ClientCalls(limits: limits, now: start)
        calls.begin(1, deadline: start + .seconds(60), now: start)
        for second in 0..<20 {
            let time = Duration.milliseconds(500 * second)
            calls.heard(now: start + time)
            let actions = tick(&calls, from: time, to: time + .milliseconds(480))
            #expect(!actions.contains { $0.1 == .eject })
            #expect(actions.count { $0.1 == .ping } == 1)
        }
    }

    @Test func `silence between calls means nothing`() {
        var calls = ClientCalls(limits: limits, now: start)
        calls.begin(1, deadline: start + .seconds(60), now: start)
        let outcome48 = calls.end(1)
        #expect(outcome48)
        #expect(tick(&calls, from: .zero, to: .seconds(5)).isEmpty)
        calls.begin(2, deadline: start + .seconds(60), now: start + .seconds(10))
        #expect(calls.tick(now: start + .seconds(10) + .milliseconds(20)).isEmpty)
    }

    @Test func `a client that was held up itself blames nobody`() {
        var calls = ClientCalls(limits: limits, now: start)
        calls.begin(1, deadline: start + .seconds(60), now: start)
        _ = tick(&calls, from: .milliseconds(20), to: .milliseconds(300))
        // Five seconds without a tick: this process was stopped, not the server.
        let actions = tick(&calls, from: .milliseconds(5300), to: .milliseconds(5900))
        #expect(actions.map(\.1) == [.ping])
    }

    @Test func `a call expires once, at its deadline`() {
        var calls = ClientCalls(limits: limits, now: start)
        calls.begin(1, deadline: start + .milliseconds(100), now: start)
        calls.begin(2, deadline: start + .seconds(60), now: start)
        let actions = tick(&calls, from: .milliseconds(20), to: .milliseconds(200))
        #expect(actions.map(\.1) == [.expire(1)])
        #expect(actions.first?.0 == .milliseconds(100))
        let outcome70 = calls.end(1)
        #expect(!outcome70)
        let outcome71 = calls.end(2)
        #expect(outcome71)
    }

    @Test func `a connection that is given up ends with its last call`() {
        var calls = ClientCalls(limits: limits, now: start)
        calls.begin(1, deadline: start + .seconds(60), now: start)
        calls.goAway()
        #expect(!calls.isDone)
        let outcome79 = calls.end(1)
        #expect(outcome79)
        #expect(calls.isDone)
    }
}
