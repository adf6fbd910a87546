import ServiceKit
import Testing

@testable import Gateway

/// What a gateway that goes down still does, and when it ends.
struct DrainMachineTests {
    private typealias Machine = DrainMachine
    private let start = ContinuousClock.now
    private static let longest: Duration = .seconds(30)

    private func machine() -> DrainMachine { DrainMachine(longest: Self.longest) }

    /// A machine with one request whose deadline is in 10 s, after the signal.
    private func draining(_ activity: DrainMachine.Activity) throws -> (DrainMachine, Int) {
        var machine = machine()
        machine.connectionOpened()
        let begun = machine.requestBegan(deadline: start + .seconds(10))
        let id = try #require(begun)
        let goesOn = machine.goOn(id, with: activity, now: start)
        #expect(goesOn)
        machine.begin(now: start)
        return (machine, id)
    }

    @Test func `an idle gateway closes its port after a moment, and ends with its connections`() {
        var machine = machine()
        machine.connectionOpened()
        #expect(machine.step(now: start) == .wait(until: nil))
        machine.begin(now: start)
        let open = start + Machine.shortestOpen
        #expect(machine.step(now: start) == .wait(until: open))
        #expect(machine.step(now: open) == .close)
        #expect(machine.step(now: open) == .wait(until: open + Machine.closingTime))
        machine.connectionClosed()
        #expect(machine.step(now: open) == .end)
    }

    @Test func `connections that clients leave open hold up the end for a moment only`() {
        var machine = machine()
        machine.connectionOpened()
        machine.begin(now: start)
        let open = start + Machine.shortestOpen
        #expect(machine.step(now: open) == .close)
        #expect(machine.step(now: open + Machine.closingTime) == .end)
        #expect(machine.phase == .over)
        // With all that an idle gateway takes, a restart is shorter than a second.
        #expect(Machine.shortestOpen + Machine.closingTime < .seconds(1))
    }

    @Test func `a new request is refused from the signal on`() {
        var machine = machine()
        machine.begin(now: start)
        #expect(machine.requestBegan(deadline: start + .seconds(10)) == nil)
    }

    @Test func `a complete request is waited for, until its answer has left`() throws {
        var (machine, id) = try draining(.working)
        let latest = start + .seconds(10) + Machine.answerTime
        #expect(machine.step(now: start + .seconds(5)) == .wait(until: latest))
        machine.requestEnded(id)
        #expect(machine.step(now: start + .seconds(5)) == .close)
    }

    @Test func `a complete request is not waited for beyond its deadline`() throws {
        var (machine, _) = try draining(.working)
        let latest = start + .seconds(10) + Machine.answerTime
        #expect(machine.step(now: latest - .milliseconds(1)) == .wait(until: latest))
        #expect(machine.step(now: latest) == .close)
    }

    @Test func `a body that is still coming is given up at once`() throws {
        var (machine, _) = try draining(.receiving)
        let latest = start + Machine.answerTime
        #expect(machine.step(now: start) == .wait(until: latest))
        #expect(machine.step(now: latest) == .close)
    }

    @Test func `a body that came in the last moment makes its request complete`() throws {
        var (machine, id) = try draining(.receiving)
        _ = machine.goOn(id, with: .working, now: start)
        let latest = start + .seconds(10) + Machine.answerTime
        #expect(machine.step(now: start) == .wait(until: latest))
    }

    @Test func `what waits for news has a moment for its answer, however late it is`() throws {
        var machine = machine()
        let begun = machine.requestBegan(deadline: start - .seconds(20))
        let id = try #require(begun)
        let goesOn = machine.goOn(id, with: .waiting, now: start - .seconds(40))
        #expect(goesOn)
        machine.begin(now: start)
        #expect(machine.step(now: start) == .wait(until: start + Machine.waitingTime))
        #expect(machine.step(now: start + Machine.waitingTime) == .close)
    }

    @Test func `a request that begins to wait after the signal is told to give up`() throws {
        for activity in [Machine.Activity.receiving, .waiting] {
            var (machine, id) = try draining(.working)
            let goesOn = machine.goOn(id, with: activity, now: start + .seconds(1))
            #expect(!goesOn)
            guard case .wait(let until?) = machine.step(now: start + .seconds(1)) else {
                Issue.record("it has time for an answer")
                return
            }
            #expect(until < start + .seconds(4))
        }
    }

    @Test func `no request holds up the end for longer than the process has`() throws {
        var machine = machine()
        _ = machine.requestBegan(deadline: start + .seconds(600))
        machine.begin(now: start)
        #expect(machine.step(now: start) == .wait(until: start + Self.longest))
        #expect(machine.step(now: start + Self.longest) == .close)
        // What comes after the requests fits into the rest of the process's time.
        #expect(
            ServiceProcess.drainTimeout + Machine.closingTime
                < .seconds(ServiceProcess.shutdownSeconds))
    }

    @Test func `one that takes no answer does not hold up those that end in time`() throws {
        var machine = machine()
        let begun = machine.requestBegan(deadline: start + .seconds(10))
        let quick = try #require(begun)
        _ = machine.requestBegan(deadline: start - .seconds(1))
        machine.begin(now: start)
        #expect(machine.step(now: start) != .close)
        machine.requestEnded(quick)
        #expect(machine.step(now: start + Machine.answerTime) == .close)
        #expect(machine.requestsInFlight == 0)
    }

    @Test func `a second signal changes nothing`() throws {
        var (machine, _) = try draining(.working)
        let before = machine.step(now: start + .seconds(1))
        machine.begin(now: start + .seconds(1))
        #expect(machine.step(now: start + .seconds(1)) == before)
    }
}
