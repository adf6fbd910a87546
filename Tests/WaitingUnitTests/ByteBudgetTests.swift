import Model
import SeededRandom
import Testing
import Waiting

@Suite("Byte budget") struct ByteBudgetTests {
    private typealias Reservation = ByteBudget.Reservation

    @Test("A user has its share, and leaves the rest of the total to others")
    func share() throws {
        let budget = ByteBudget(total: 1000, share: 100)
        let own = try budget.reserve(80, for: "ada")
        #expect(throws: ByteBudget.Excess.share) { try budget.reserve(21, for: "ada") }
        let second = try budget.reserve(20, for: "ada")
        let others = try (["ben", "eva"] as [UserID]).map { try budget.reserve(200, for: $0) }
        #expect(budget.inUse == 500)
        #expect(budget.inUse(by: "ada") == 100)
        withExtendedLifetime((own, second, others)) {}
    }

    @Test("A user's share shrinks as others hold more")
    func shrinks() throws {
        let budget = ByteBudget(total: 1000, share: 200)
        let other = try budget.reserve(600, for: "ben")
        let own = try budget.reserve(60, for: "ada")
        // A quarter of the 400 that are left.
        #expect(throws: ByteBudget.Excess.share) { try budget.reserve(41, for: "ada") }
        let second = try budget.reserve(40, for: "ada")
        // Half of the 300 that are left.
        #expect(throws: ByteBudget.Excess.total) { try budget.reserve(151, for: "eva") }
        let third = try budget.reserve(150, for: "eva")
        withExtendedLifetime((other, own, second, third)) {}
    }

    @Test("What goes is given back, at once and whole")
    func givenBack() throws {
        let budget = ByteBudget(total: 1000, share: 40)
        var own: Reservation? = try budget.reserve(40, for: "ada")
        try own?.hold(10)
        #expect(budget.inUse == 10)
        let second = try budget.reserve(30, for: "ada")
        #expect(throws: ByteBudget.Excess.share) { try own?.hold(11) }
        #expect(budget.inUse(by: "ada") == 40)
        own = nil
        #expect(budget.inUse(by: "ada") == 30)
        withExtendedLifetime(second) {}
    }

    @Test("A body that exceeds the share, or the total, is taken when it is the only one")
    func only() throws {
        let budget = ByteBudget(total: 100, share: 40)
        var large: Reservation? = try budget.reserve(5, for: "ada")
        try large?.hold(60)
        #expect(throws: ByteBudget.Excess.share) { try budget.reserve(1, for: "ada") }
        large = nil
        let larger = try budget.reserve(150, for: "ada")
        #expect(throws: ByteBudget.Excess.total) { try budget.reserve(1, for: "ben") }
        withExtendedLifetime(larger) {}
    }

    @Test("Room for what is to come must be there, and is not held")
    func room() throws {
        let budget = ByteBudget(total: 1000, share: 40)
        let first = try budget.reserve(15, for: "ada")
        let second = budget.open(for: "ada")
        #expect(throws: ByteBudget.Excess.share) { try second.hold(0, room: 26) }
        #expect(throws: ByteBudget.Excess.share) { try second.hold(0, expected: 26) }
        try second.hold(5, room: 25)
        #expect(budget.inUse(by: "ada") == 20)
        // A holder of nothing else is not asked for room, only for what it announces.
        let third = budget.open(for: "joe")
        #expect(throws: ByteBudget.Excess.total) { try third.hold(0, expected: 491) }
        try third.hold(0, expected: 490, room: 2000)
        #expect(budget.inUse == 20)
        withExtendedLifetime((first, second, third)) {}
    }

    @Test("What is there already is held in any case, and keeps others out")
    func anyway() throws {
        let budget = ByteBudget(total: 100, share: 40)
        var first: Reservation? = try budget.reserve(10, for: "ada")
        first?.holdAnyway(70)
        #expect(budget.inUse == 70 && budget.inUse(by: "ada") == 70)
        #expect(throws: ByteBudget.Excess.share) { try budget.reserve(1, for: "ada") }
        #expect(throws: ByteBudget.Excess.total) { try budget.reserve(16, for: "ben") }
        first = nil
        #expect(budget.inUse == 0)
    }

    @Test("Users whose names are the same text in other bytes are different ones")
    func spellings() throws {
        let budget = ByteBudget(total: 1000, share: 40)
        let composed = try budget.reserve(40, for: "\u{E9}va")
        let decomposed = try budget.reserve(40, for: "e\u{301}va")
        #expect(budget.inUse(by: "\u{E9}va") == 40 && budget.inUse(by: "e\u{301}va") == 40)
        withExtendedLifetime((composed, decomposed)) {}
    }

    /// Requests of at most 16 that take whatever they get, of a total of 256 and shares of 64.
    private func greedy(_ users: Int, seed: UInt64) -> (ByteBudget, [Reservation]) {
        var random = SeededGenerator(seed: seed)
        let budget = ByteBudget(total: 256 << 10, share: 64 << 10)
        var held: [Reservation] = []
        for _ in 1...2000 {
            let user = UserID("greedy-\(Int.random(in: 1...users, using: &random))")
            let bytes = Int.random(in: 1...(16 << 10), using: &random)
            if let reservation = try? budget.reserve(bytes, for: user) { held.append(reservation) }
            if Int.random(in: 1...10, using: &random) == 1, !held.isEmpty {
                held.remove(at: Int.random(in: 0..<held.count, using: &random))
            }
        }
        return (budget, held)
    }

    @Test(
        "Greedy users do not keep a newcomer from its first request",
        arguments: 0..<50 as Range<UInt64>)
    func newcomer(seed: UInt64) throws {
        // Four of them once held everything.
        for (users, bytes) in [(4, 16 << 10), (10, 16 << 10), (20, 8 << 10)] {
            let (budget, held) = greedy(users, seed: seed)
            #expect(budget.inUse > 128 << 10)
            #expect(throws: Never.self) { try budget.reserve(bytes, for: "newcomer") }
            withExtendedLifetime(held) {}
        }
    }

    @Test("The total is never exceeded, however many users there are")
    func bounded() {
        let (budget, held) = greedy(500, seed: 1)
        #expect(budget.inUse <= 256 << 10)
        withExtendedLifetime(held) {}
    }
}
