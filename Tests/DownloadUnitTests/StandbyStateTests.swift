@testable import DownloadService
import Testing

@Suite("Whether a standby is asked for pages")
struct StandbyStateTests {
    private static let start = ContinuousClock.now
    private static let primary = ServerReading(
        isStandby: false, cluster: "7", timeline: 3, database: 16_384, epoch: "e", position: 1000)
    private static var standby: ServerReading {
        var reading = primary
        reading.isStandby = true
        return reading
    }

    private static func after(_ milliseconds: Int) -> ContinuousClock.Instant {
        start + .milliseconds(milliseconds)
    }

    /// What is found of a standby that differs so from a good one.
    private static func trouble(
        _ change: (_ standby: inout ServerReading, _ primary: inout ServerReading) -> Void
    ) -> StandbyTrouble? {
        var (standby, primary) = (standby, primary)
        change(&standby, &primary)
        var state = StandbyState()
        state.looked(standby, beside: primary, asked: start)
        return state.trouble(at: start)
    }

    @Test("Only one in recovery, of the primary's cluster, database, timeline and epoch is")
    func identity() {
        #expect(StandbyState().trouble(at: Self.start) == .unknown)
        #expect(Self.trouble { _, _ in } == nil)
        #expect(Self.trouble { standby, _ in standby.isStandby = false } == .noStandby)
        #expect(Self.trouble { standby, _ in standby.cluster = "8" } == .otherCluster)
        #expect(Self.trouble { standby, _ in standby.database = 5 } == .otherDatabase)
        #expect(Self.trouble { standby, _ in standby.timeline = 2 } == .otherTimeline)
        #expect(Self.trouble { standby, _ in standby.timeline = 4 } == .otherTimeline)
        #expect(Self.trouble { standby, _ in standby.epoch = "f" } == .otherEpoch)
        #expect(Self.trouble { _, primary in primary.isStandby = true } == .noPrimary)
    }

    @Test("What a look has shown is believed for two seconds")
    func freshness() {
        var state = StandbyState()
        state.looked(Self.standby, beside: Self.primary, asked: Self.start)
        #expect(state.trouble(at: Self.after(2000)) == nil)
        #expect(state.trouble(at: Self.after(2001)) == .unknown)
        state.lookFailed("gone", asked: Self.after(2001))
        #expect(state.trouble(at: Self.after(2001)) == .unreachable("gone"))
        #expect(state.trouble(at: Self.after(9000)) == .unreachable("gone"))
        state.looked(Self.standby, beside: Self.primary, asked: Self.after(9000))
        #expect(state.trouble(at: Self.after(9000)) == nil)
    }

    @Test("After pages that fail it rests longer and longer, though looks succeed")
    func pauses() {
        var state = StandbyState()
        var now = 0
        var pauses: [Int] = []
        for _ in 0..<8 {
            state.looked(Self.standby, beside: Self.primary, asked: Self.after(now))
            state.pageFailed(at: Self.after(now), jitter: 1)
            // Those that were under way count as the same failure.
            state.pageFailed(at: Self.after(now + 1), jitter: 1)
            let failed = now
            repeat {
                now += 500
                state.looked(Self.standby, beside: Self.primary, asked: Self.after(now))
            } while state.trouble(at: Self.after(now)) == .failing
            pauses.append(now - failed)
        }
        #expect(pauses == [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
        state.pageServed()
        state.pageFailed(at: Self.after(now), jitter: 1)
        #expect(state.trouble(at: Self.after(now + 499)) == .failing)
        #expect(state.trouble(at: Self.after(now + 500)) == nil)
    }

    @Test("One that is more than ten seconds behind is left alone until it has caught up")
    func lag() {
        var state = StandbyState()
        var primary = Self.primary
        func look(at milliseconds: Int, written: Int64, replayed: Int64) -> StandbyTrouble? {
            primary.position = written
            var standby = Self.standby
            standby.position = replayed
            state.looked(standby, beside: primary, asked: Self.after(milliseconds))
            return state.trouble(at: Self.after(milliseconds))
        }
        #expect(look(at: 0, written: 2000, replayed: 1000) == nil)
        #expect(look(at: 10_000, written: 3000, replayed: 1000) == nil)
        #expect(look(at: 10_500, written: 4000, replayed: 1000) == .behind)
        #expect(state.lag.bytes == 3000)
        #expect(look(at: 11_000, written: 4000, replayed: 2000) == nil)
        #expect(state.lag.time == .seconds(1))
        #expect(look(at: 11_500, written: 4000, replayed: 4000) == nil)
        #expect(state.lag.time == .zero && state.lag.bytes == 0)
    }

    @Test("An idle primary makes no lag, a standby ahead of the look none, however long they last")
    func noLag() {
        var lag = ReplayLag()
        for look in 0..<1000 {
            lag.record(primary: 500, standby: 500 + Int64(look % 2), at: Self.after(look * 500))
            #expect(lag.time == .zero && lag.bytes == 0)
        }
    }

    @Test("A lag that lasts is told in bounded memory, as long as it is and no longer")
    func longLag() {
        var lag = ReplayLag()
        // The standby always lags by 1000 looks.
        for look in 0..<5000 {
            lag.record(
                primary: Int64(look), standby: Int64(max(0, look - 1000)),
                at: Self.after(look * 500))
            guard look > 2000 else { continue }
            #expect(lag.time <= .seconds(500))
            #expect(lag.time > .seconds(400))
        }
    }
}
