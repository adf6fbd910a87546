import Model
import Testing

@testable import UploadService

@Suite("Who is in no group for a while") struct GroupExclusionsTests {
    private static let (phone, last) = (DeviceID("phone"), DeviceID("last"))
    private let start = ContinuousClock.now

    @Test("Devices are left out for their time, of each user only so many")
    func devices() {
        var exclusions = GroupExclusions()
        exclusions.exclude(Self.phone, of: "ann", for: .seconds(60), now: start)
        exclusions.exclude(Self.phone, of: "ann", for: .seconds(1), now: start)
        #expect(exclusions.isExcluded(Self.phone, of: "ann", now: start + .seconds(59)))
        #expect(!exclusions.isExcluded(Self.phone, of: "bob", now: start))
        #expect(!exclusions.isExcluded(Self.phone, of: "ann", now: start + .seconds(60)))
        for number in 0..<GroupExclusions.maximumDevicesPerUser + 10 {
            exclusions.exclude(
                DeviceID("\(number)"), of: "ann", for: .seconds(number < 5 ? 1 : 60), now: start)
        }
        #expect(exclusions.count == GroupExclusions.maximumDevicesPerUser)
        exclusions.exclude(Self.last, of: "ann", for: .seconds(60), now: start)
        #expect(!exclusions.isExcluded(Self.last, of: "ann", now: start))
        // One that is known may be left out for longer, and another user's have their own room.
        exclusions.exclude(Self.phone, of: "ann", for: .seconds(90), now: start)
        #expect(exclusions.isExcluded(Self.phone, of: "ann", now: start + .seconds(89)))
        exclusions.exclude(Self.last, of: "bob", for: .seconds(60), now: start)
        #expect(exclusions.isExcluded(Self.last, of: "bob", now: start))
        // Those whose time is over make room.
        exclusions.exclude(Self.last, of: "ann", for: .seconds(60), now: start + .seconds(2))
        #expect(exclusions.isExcluded(Self.last, of: "ann", now: start + .seconds(2)))
        #expect(exclusions.count == GroupExclusions.maximumDevicesPerUser - 4 + 1)
    }

    @Test("Only so many users are remembered")
    func users() {
        var exclusions = GroupExclusions()
        for number in 0..<GroupExclusions.maximumUsers {
            exclusions.exclude(
                Self.phone, of: UserID("\(number)"), for: .seconds(number < 5 ? 1 : 60),
                now: start)
        }
        exclusions.exclude(Self.phone, of: "ann", for: .seconds(60), now: start)
        exclusions.pause("bob", now: start)
        #expect(!exclusions.isExcluded(Self.phone, of: "ann", now: start))
        #expect(!exclusions.isExcluded(Self.phone, of: "bob", now: start))
        let later = start + .seconds(2)
        exclusions.exclude(Self.phone, of: "ann", for: .seconds(60), now: later)
        #expect(exclusions.isExcluded(Self.phone, of: "ann", now: later))
        #expect(exclusions.count == GroupExclusions.maximumUsers - 4)
    }

    @Test("Where nobody is to blame, a user waits twice as long each time, until a group goes well")
    func pauses() {
        var exclusions = GroupExclusions()
        var now = start
        for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
            exclusions.pause("ann", now: now)
            let end = now + .seconds(seconds)
            #expect(exclusions.isExcluded(Self.last, of: "ann", now: end - .milliseconds(1)))
            #expect(!exclusions.isExcluded(Self.last, of: "ann", now: end))
            #expect(!exclusions.isExcluded(Self.last, of: "bob", now: now))
            now = end
        }
        exclusions.noteWritten(of: "ann")
        exclusions.pause("ann", now: now)
        #expect(!exclusions.isExcluded(Self.last, of: "ann", now: now + .seconds(1)))
    }
}
