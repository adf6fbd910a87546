import Testing
import Waiting

@Suite("Byte budget") struct ByteBudgetTests {
    @Test("A user has its share, and leaves the rest of the total to others")
    func share() throws {
        let budget = ByteBudget(total: 100, share: 40)
        let own = try budget.reserve(30, for: "ada")
        #expect(throws: ByteBudget.Excess.share) { try budget.reserve(11, for: "ada") }
        let others = try ["ben", "eva"].map { try budget.reserve(35, for: $0) }
        #expect(throws: ByteBudget.Excess.total) { try budget.reserve(1, for: "joe") }
        #expect(budget.inUse == 100)
        #expect(budget.inUse(by: "ada") == 30)
        withExtendedLifetime((own, others)) {}
    }

    @Test("What goes is given back, at once and whole")
    func givenBack() throws {
        let budget = ByteBudget(total: 100, share: 40)
        var own: ByteBudget.Reservation? = try budget.reserve(40, for: "ada")
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
        var large: ByteBudget.Reservation? = try budget.reserve(5, for: "ada")
        try large?.hold(60)
        #expect(throws: ByteBudget.Excess.share) { try budget.reserve(1, for: "ada") }
        large = nil
        let larger = try budget.reserve(150, for: "ada")
        #expect(throws: ByteBudget.Excess.total) { try budget.reserve(1, for: "ben") }
        withExtendedLifetime(larger) {}
    }

    @Test("Room for what is to come must be there, and is not held")
    func room() throws {
        let budget = ByteBudget(total: 100, share: 40)
        let first = try budget.reserve(15, for: "ada")
        let second = budget.open(for: "ada")
        #expect(throws: ByteBudget.Excess.share) { try second.hold(0, room: 26) }
        try second.hold(5, room: 25)
        #expect(budget.inUse(by: "ada") == 20)
        let others = try ["ben", "eva"].map { try budget.reserve(30, for: $0) }
        let third = budget.open(for: "joe")
        #expect(throws: ByteBudget.Excess.total) { try third.hold(0, room: 21) }
        try third.hold(0, room: 20)
        withExtendedLifetime((first, second, others, third)) {}
        #expect(budget.inUse == 80)
    }

    @Test("What is there already is held in any case, and keeps others out")
    func anyway() throws {
        let budget = ByteBudget(total: 100, share: 40)
        var first: ByteBudget.Reservation? = try budget.reserve(10, for: "ada")
        first?.holdAnyway(70)
        #expect(budget.inUse == 70 && budget.inUse(by: "ada") == 70)
        #expect(throws: ByteBudget.Excess.share) { try budget.reserve(1, for: "ada") }
        #expect(throws: ByteBudget.Excess.total) { try budget.reserve(31, for: "ben") }
        first = nil
        #expect(budget.inUse == 0)
    }
}
