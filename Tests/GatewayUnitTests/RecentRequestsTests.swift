import Model
import Testing

@testable import Gateway

/// What a gateway remembers of its last requests, and who looks when.
@Suite struct RecentRequestsTests {
    private func line(
        _ user: String = "ann", _ device: String = "phone", status: Int = 200, isIdle: Bool = false
    ) -> RecentRequests.Line {
        var line = RecentRequests.Line()
        (line.user, line.device) = (UserID(user), DeviceID(device))
        (line.status, line.isIdle) = (status, isIdle)
        return line
    }

    private func numbers(_ look: RecentRequests.Look) -> [Int64] { look.lines.map(\.number) }

    @Test func `who looks again sees what is new, once and in order`() {
        let recent = RecentRequests()
        for _ in 1...3 { recent.add(line()) }
        let first = recent.look(after: nil, .init(), limit: 10)
        #expect(numbers(first) == [1, 2, 3] && first.last == 3 && first.missed == 0)
        let nothing = recent.look(after: first.last, .init(), limit: 10)
        #expect(numbers(nothing) == [] && nothing.last == 3 && nothing.missed == 0)
        for _ in 1...2 { recent.add(line()) }
        let second = recent.look(after: first.last, .init(), limit: 10)
        #expect(numbers(second) == [4, 5] && second.missed == 0)
        // A number that was never given.
        #expect(numbers(recent.look(after: .max, .init(), limit: 10)) == [])
    }

    @Test func `it keeps no more than it may, and says what a late look has missed`() {
        let recent = RecentRequests()
        let capacity = Int64(RecentRequests.capacity)
        for _ in 1...(capacity + 5) { recent.add(line()) }
        let first = recent.look(after: nil, .init(), limit: .max)
        #expect(first.lines.count == RecentRequests.capacity)
        #expect(first.lines.first?.number == 6 && first.last == capacity + 5)
        #expect(first.missed == 0, "nobody has looked before")
        let late = recent.look(after: 2, .init(), limit: .max)
        #expect(late.missed == 3 && late.lines.first?.number == 6)
        let few = recent.look(after: capacity, .init(), limit: 2)
        #expect(numbers(few) == [capacity + 4, capacity + 5] && few.missed == 3)
    }

    @Test func `filters go by user, device, status and news`() {
        let recent = RecentRequests()
        recent.add(line("ann", "phone"))
        recent.add(line("ann", "laptop", status: 404))
        recent.add(line("bob", "phone", status: 503))
        recent.add(line("ann", "phone", isIdle: true))
        recent.add(RecentRequests.Line())
        func found(_ make: (inout RecentRequests.Filter) -> Void) -> [Int64] {
            var filter = RecentRequests.Filter()
            make(&filter)
            return numbers(recent.look(after: nil, filter, limit: 10))
        }
        #expect(found { _ in } == [1, 2, 3, 5])
        #expect(found { $0.hasIdle = true } == [1, 2, 3, 4, 5])
        #expect(found { $0.user = UserID("ann") } == [1, 2])
        #expect(found { $0.device = DeviceID("phone") } == [1, 3])
        #expect(found { $0.statuses = TailRoute.statuses("4xx") } == [2])
        #expect(found { $0.statuses = TailRoute.statuses("503") } == [3])
    }

    @Test func `a visit ends with a long pause, and is one administrator's`() {
        let (visits, start) = (TailVisits(), ContinuousClock.now)
        let (ann, bob) = (UserID("ann"), UserID("bob"))
        #expect(!visits.goesOn(of: ann, now: start))
        visits.begin(of: ann, now: start)
        // Each look prolongs it.
        for looks in 1...3 {
            #expect(visits.goesOn(of: ann, now: start + TailVisits.longestPause * looks))
        }
        #expect(!visits.goesOn(of: bob, now: start))
        let late = start + TailVisits.longestPause * 4 + .milliseconds(1)
        #expect(!visits.goesOn(of: ann, now: late))
    }

    @Test func `more visits than are remembered are recorded again`() {
        let (visits, now) = (TailVisits(), ContinuousClock.now)
        for number in 0...TailVisits.capacity { visits.begin(of: UserID("\(number)"), now: now) }
        #expect(visits.goesOn(of: UserID("\(TailVisits.capacity)"), now: now))
        #expect(!visits.goesOn(of: UserID("0"), now: now))
    }

    @Test(arguments: ["", "4", "40", "4xy", "xxx", "0xx", "6xx", "4044", "4xxx", "-40", "4 4"])
    func `what is no status is refused`(_ text: String) {
        #expect(TailRoute.statuses(Substring(text)) == nil)
    }
}
