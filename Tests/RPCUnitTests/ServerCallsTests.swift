import SeededRandom
import Testing

@testable import RPC

/// The calls of one connection of a server.
struct ServerCallsTests {
    let start = ContinuousClock.now

    @Test func `a cancelled call has no voice but counts until its handler returns`() {
        var calls = ServerCalls()
        let begun = calls.begin(1, deadline: start + .seconds(1), credit: 1)
        #expect(begun)
        let outcome12 = calls.cancel(1)
        #expect(outcome12)
        let outcome13 = calls.cancel(1)
        #expect(!outcome13)
        #expect(calls.sendPart(1, isWritable: true) == .stop)
        #expect(!calls.isEmpty)
        let outcome16 = calls.finish(1)
        #expect(!outcome16)
        #expect(calls.isEmpty)
    }

    @Test func `an id may be used again only after its call is over`() {
        var calls = ServerCalls()
        let outcome22 = calls.begin(1, deadline: start, credit: 0)
        #expect(outcome22)
        let outcome23 = calls.begin(1, deadline: start, credit: 0)
        #expect(!outcome23)
        let outcome24 = calls.finish(1)
        #expect(outcome24)
        let outcome25 = calls.begin(1, deadline: start, credit: 0)
        #expect(outcome25)
    }

    @Test func `a call that crossed the goodbye is served, one that comes long after it is not`() {
        var calls = ServerCalls()
        let crossing: Duration = .milliseconds(500)
        #expect(calls.isWelcome(now: start + .seconds(9), crossing: crossing))
        calls.goAway(now: start)
        #expect(calls.isWelcome(now: start + .milliseconds(499), crossing: crossing))
        // Saying it again gives no more time.
        calls.goAway(now: start + .milliseconds(400))
        #expect(!calls.isWelcome(now: start + .milliseconds(500), crossing: crossing))
    }

    @Test func `a part needs credit and room`() {
        var calls = ServerCalls()
        let outcome30 = calls.begin(1, deadline: start, credit: 1)
        #expect(outcome30)
        #expect(calls.sendPart(1, isWritable: false) == .wait)
        #expect(calls.sendPart(1, isWritable: true) == .send)
        #expect(calls.sendPart(1, isWritable: true) == .wait)
        calls.addCredit(1, .max)
        calls.addCredit(1, .max)
        #expect(calls.sendPart(1, isWritable: true) == .send)
    }

    /// Invariants: every call ends exactly once; an outcome is sent exactly for calls that nobody
    /// cancelled, that did not expire and whose peer is there; parts never exceed their credit.
    @Test(arguments: 0..<50 as Range<UInt64>)
    func `random walks end every call once`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var calls = ServerCalls()
        var model: [UInt32: (deadline: Int, credit: Int, heard: Bool)] = [:]
        var time = 0
        for _ in 0..<2000 {
            time += 1
            let id = UInt32.random(in: 1...20, using: &random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0:
                let deadline = time + Int.random(in: 1...100, using: &random)
                let began = calls.begin(id, deadline: start + .seconds(deadline), credit: 2)
                #expect(began == (model[id] == nil))
                if began { model[id] = (deadline, 2, true) }
            case 1:
                #expect(calls.cancel(id) == (model[id]?.heard == true))
                model[id]?.heard = false
            case 2:
                #expect(calls.finish(id) == (model.removeValue(forKey: id)?.heard == true))
            case 3:
                let expired = calls.expire(now: start + .seconds(time))
                let due = model.filter { $0.value.heard && $0.value.deadline <= time }
                #expect(expired == due.keys.sorted())
                for id in expired { model[id]?.heard = false }
            case 4:
                calls.addCredit(id, 1)
                model[id]?.credit += 1
            default:
                let expected: ServerCalls.PartDecision =
                    if let call = model[id], call.heard { call.credit > 0 ? .send : .wait } else {
                        .stop
                    }
                #expect(calls.sendPart(id, isWritable: true) == expected)
                if expected == .send { model[id]?.credit -= 1 }
            }
            #expect(Set(calls.calls.keys) == Set(model.keys))
        }
        #expect(calls.peerGone() == model.filter(\.value.heard).keys.sorted())
        let outcome80 = calls.begin(99, deadline: start, credit: 0)
        #expect(!outcome80)
        for id in model.keys {
            let finished = calls.finish(id)
            #expect(!finished)
        }
        #expect(calls.isEmpty)
    }
}
