import HTTPTypes
import Model
import RPC
import Synchronization
import Telemetry
import Testing

@testable import Gateway

/// Who may wait at once.
@Suite("Seats")
struct SeatsTests {
    private func take(
        _ seats: inout Seats, _ user: String, _ device: String
    ) -> Result<Seats.Taken, Seats.Full> {
        do throws(Seats.Full) {
            return .success(try seats.take(user: UserID(user), device: DeviceID(device)))
        } catch {
            return .failure(error)
        }
    }

    @Test("Each limit leaves its own number of seats, and a seat that is left is free")
    func limits() throws {
        var seats = Seats(Seats.Limits(total: 4, perUser: 3, perDevice: 2))
        let first = try take(&seats, "ada", "phone").get()
        #expect(take(&seats, "ada", "phone") == .success(Seats.Taken(id: 2)))
        #expect(take(&seats, "ada", "laptop") == .success(Seats.Taken(id: 3)))
        #expect(take(&seats, "ada", "watch") == .failure(.user))
        #expect(take(&seats, "ben", "phone") == .success(Seats.Taken(id: 4)))
        #expect(take(&seats, "eva", "phone") == .failure(.total))
        seats.leave(first.id)
        seats.leave(first.id)
        #expect(seats.count == 3)
        #expect(take(&seats, "eva", "phone") == .success(Seats.Taken(id: 5)))
    }

    @Test("A device that comes back takes its oldest seat, even where nobody else gets one")
    func replacing() {
        var seats = Seats(Seats.Limits(total: 2, perUser: 2, perDevice: 2))
        for id in 1...2 { #expect(take(&seats, "ada", "phone") == .success(.init(id: id))) }
        #expect(take(&seats, "ada", "phone") == .success(.init(id: 3, replaced: 1)))
        #expect(!seats.isTaken(1) && seats.isTaken(2) && seats.isTaken(3))
        #expect(take(&seats, "ada", "laptop") == .failure(.user))
        // Its former holder leaves a seat that it has no more.
        seats.leave(1)
        #expect(seats.count == 2)
    }

    @Test("Devices of the same name are different ones for different users, byte for byte")
    func sameName() {
        var seats = Seats(Seats.Limits(total: 9, perUser: 1, perDevice: 1))
        for (id, user) in ["ada", "ben", "\u{E9}va", "e\u{301}va"].enumerated() {
            #expect(take(&seats, user, "phone") == .success(.init(id: id + 1)))
        }
    }

    @Test("Places of watches are given back, and refused by the limit that is reached")
    func watchers() throws {
        let watchers = Watchers(
            Seats.Limits(total: 2, perUser: 1, perDevice: 1),
            refusals: GatewayRefusals(MetricsRegistry()))
        func enter(_ user: String, _ device: String) throws -> Watchers.Place {
            try watchers.enter(CallerIdentity(user: user, device: device))
        }
        var places = [try enter("ada", "phone"), try enter("ben", "phone")]
        let user = #expect(throws: WireError.self) { try enter("ada", "laptop") }
        #expect(user?.status.code == 429 && user?.retryAfter != nil)
        let total = #expect(throws: WireError.self) { try enter("eva", "phone") }
        #expect(total?.status.code == 503 && total?.code == "too_many_watchers")
        places.removeLast()
        #expect(watchers.open == 1)
        places.append(try enter("eva", "phone"))
        // The same device again is the same number of watches.
        places.append(try enter("eva", "phone"))
        #expect(watchers.open == 2)
        withExtendedLifetime(places) {}
    }

    @Test("A device's further long poll ends its oldest; a further device's is refused")
    func polls() throws {
        let registry = MetricsRegistry()
        let polls = LongPolls(
            Seats.Limits(total: 2, perUser: 2, perDevice: 1), refusals: GatewayRefusals(registry))
        func enter(_ user: String, _ device: String) throws -> LongPolls.Place {
            try polls.enter(CallerIdentity(user: user, device: device))
        }
        let ended = Atomic(0)
        let first = try enter("ada", "phone")
        first.whenReplaced { ended.add(1, ordering: .relaxed) }
        var places = [try enter("ada", "phone")]
        #expect(ended.load(ordering: .relaxed) == 1 && first.isReplaced && polls.open == 1)
        // Who asks afterwards hears of it too.
        first.whenReplaced { ended.add(1, ordering: .relaxed) }
        #expect(ended.load(ordering: .relaxed) == 2)
        #expect(registry.rendered().contains("{reason=\"replaced_poll\"} 1"))
        places.append(try enter("ada", "laptop"))
        let user = #expect(throws: WireError.self) { try enter("ada", "watch") }
        #expect(user?.status.code == 429 && user?.code == "too_many_waiting")
        #expect(user?.retryAfter == 5)
        let total = #expect(throws: WireError.self) { try enter("ben", "phone") }
        #expect(total?.status.code == 503 && total?.code == "overloaded")
        places.removeAll()
        #expect(polls.open == 0)
        withExtendedLifetime(first) {}
    }
}
