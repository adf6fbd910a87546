import Testing

@testable import RPC

/// Pings and silence on one connection of a client, without a clock.
struct PulseTests {
    let start = ContinuousClock.now

    /// A connection whose server has answered the first ping at once.
    private func greeted() -> Pulse {
        var pulse = Pulse(limits: RPCLimits(), now: start)
        _ = pulse.ponged()
        return pulse
    }

    /// Looks as often as the shell does, and collects what is to be done and when.
    private func look(
        _ pulse: inout Pulse, from: Duration, to: Duration, answering: Bool = false
    ) -> [(time: Duration, action: Pulse.Action)] {
        var seen: [(time: Duration, action: Pulse.Action)] = []
        var time = from
        while time <= to {
            if let action = pulse.look(now: start + time) {
                seen.append((time, action))
                if action == .eject { break }
                if answering {
                    pulse.heard(now: start + time)
                    _ = pulse.ponged()
                }
            }
            time = pulse.nextLook(after: start + time) - start
        }
        return seen
    }

    @Test func `a connection is pinged for ever, whether it has calls or not`() {
        var pulse = greeted()
        let seen = look(&pulse, from: .zero, to: .seconds(3), answering: true)
        #expect(seen.map(\.action) == Array(repeating: Pulse.Action.ping, count: 10))
        #expect(seen.map(\.time) == (1...10).map { Duration.milliseconds(300 * $0) })
    }

    @Test func `an idle server that is silent is pinged, then ejected, within a second`() {
        var pulse = greeted()
        let seen = look(&pulse, from: .zero, to: .seconds(2))
        #expect(seen.map(\.action) == [.ping, .eject])
        #expect(seen.map(\.time) == [.milliseconds(300), .milliseconds(900)])
    }

    @Test func `a stream of short calls does not hide a server that is frozen`() {
        var pulse = greeted()
        var calls = ClientCalls()
        var ejected: Duration?
        for number in 1...20 where ejected == nil {
            let time = Duration.milliseconds(110 * number)
            _ = calls.expire(now: start + time)
            calls.begin(UInt32(number), deadline: start + time + .milliseconds(100))
            if pulse.look(now: start + time) == .eject { ejected = time }
        }
        #expect(ejected.map { $0 <= .milliseconds(1200) } == true)
    }

    @Test func `any byte is a sign of life`() {
        var pulse = greeted()
        for half in 0..<20 {
            let time = Duration.milliseconds(500 * half)
            pulse.heard(now: start + time)
            let seen = look(&pulse, from: time, to: time + .milliseconds(480))
            // No more pings while one is unanswered.
            let expected: [Pulse.Action] = half == 0 ? [.ping] : []
            #expect(seen.map(\.action) == expected)
        }
    }

    @Test func `a client that was held up itself blames nobody`() {
        var pulse = greeted()
        let before = look(&pulse, from: .zero, to: .milliseconds(500))
        #expect(before.map(\.action) == [.ping])
        // Five seconds without a look: this process was stopped, not the server.
        let after = look(&pulse, from: .milliseconds(5300), to: .milliseconds(6150))
        #expect(after.isEmpty)
        // From here on the silence is the server's.
        let later = look(&pulse, from: .milliseconds(6200), to: .milliseconds(6200))
        #expect(later.map(\.action) == [.eject])
    }

    @Test func `what a server says of itself is as old as the ping it answers`() {
        var pulse = greeted()
        _ = look(&pulse, from: .zero, to: .milliseconds(300))
        // However late the PONG is read.
        pulse.heard(now: start + .milliseconds(800))
        #expect(pulse.ponged() == start + .milliseconds(300))
        // It was late, so the next ping is due at once.
        #expect(pulse.look(now: start + .milliseconds(800)) == .ping)
    }
}
