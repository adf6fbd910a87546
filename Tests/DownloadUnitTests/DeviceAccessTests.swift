@testable import DownloadService
import Model
import Testing

@Suite("Which devices may read, from memory")
struct DeviceAccessTests {
    private static let start = ContinuousClock.now
    private let phone = DeviceID("phone")
    private let tablet = DeviceID("tablet")

    private static func at(_ milliseconds: Int) -> ContinuousClock.Instant {
        start + .milliseconds(milliseconds)
    }

    @Test("Nobody is let in before the primary was asked, nor for longer than it was asked lately")
    func ages() {
        var access = DeviceAccess()
        #expect(!access.admits(phone, since: Self.at(-1000)))
        access.learn(.admits(phone), asked: Self.at(0))
        #expect(access.admits(phone, since: Self.at(-1)))
        #expect(!access.admits(phone, since: Self.at(0)))
        access.learn(.revoked([]), asked: Self.at(10))
        #expect(access.admits(phone, since: Self.at(9)))
        #expect(!access.admits(phone, since: Self.at(10)))
        access.confirm(Self.at(20))
        #expect(access.admits(phone, since: Self.at(19)))
    }

    @Test("What was asked of one device says nothing of another; what was asked of all does")
    func others() {
        var access = DeviceAccess()
        access.learn(.admits(phone), asked: Self.at(0))
        #expect(!access.admits(tablet, since: Self.at(-1)))
        access.learn(.revoked([]), asked: Self.at(1))
        #expect(access.admits(tablet, since: Self.at(0)))
    }

    @Test("A revoked device is not let in, whichever answer came last")
    func revoked() {
        var access = DeviceAccess()
        access.learn(.revoked([phone]), asked: Self.at(0))
        access.learn(.admits(phone), asked: Self.at(1))
        #expect(!access.admits(phone, since: Self.at(-1)))
        #expect(access.admits(tablet, since: Self.at(-1)))
        access.learn(.revoked([]), asked: Self.at(2))
        #expect(access.admits(phone, since: Self.at(1)))
    }

    @Test("An older answer takes nothing from a younger one")
    func order() {
        var access = DeviceAccess()
        access.learn(.admits(phone), asked: Self.at(10))
        access.learn(.admits(phone), asked: Self.at(5))
        access.learn(.revoked([]), asked: Self.at(7))
        #expect(access.admits(phone, since: Self.at(9)))
        #expect(!access.admits(tablet, since: Self.at(7)))
        access.confirm(Self.at(6))
        #expect(access.admits(tablet, since: Self.at(6)))
    }

    @Test("Devices of one user that read while polls fail are forgotten before they are too many")
    func bound() {
        var access = DeviceAccess()
        for number in 0...DeviceAccess.maximumAdmitted {
            access.learn(.admits(DeviceID("\(number)")), asked: Self.at(number))
        }
        #expect(!access.admits(DeviceID("0"), since: Self.at(-1)))
        let last = DeviceID("\(DeviceAccess.maximumAdmitted)")
        #expect(access.admits(last, since: Self.at(-1)))
    }
}
