@testable import DownloadService
import Model
import Protos
import Sidecar
import Testing

@Suite("Which pages a standby may serve")
struct StandbyProofTests {
    private static let primary = ScopeState(epoch: "e", head: 50, floor: 20, tag: 7)
    private static let end = HistoryPair(sequence: 50, tag: 7)

    private static func request(
        after: Int64 = 30, until: Int64 = 0, epoch: String = "e", pair: HistoryPair? = end,
        fresh: Bool = false
    ) -> PageRequest {
        var message = PullChangesRequest()
        (message.after, message.until, message.epoch) = (after, until, epoch)
        (message.historySeq, message.historyTag) = (pair?.sequence ?? 0, pair?.tag ?? 0)
        message.fresh = fresh
        return PageRequest(
            message, user: UserID("ann"), device: DeviceID("phone"), limits: WireLimits())
    }

    private static func isAsked(_ request: PageRequest, _ primary: ScopeState = primary) -> Bool {
        StandbyProof(request, primary) != nil
    }

    @Test("Cursors from the floor on, and 0; not between, not at the end or beyond it")
    func cursors() {
        for after: Int64 in [0, 20, 49] { #expect(Self.isAsked(Self.request(after: after))) }
        for after: Int64 in [1, 19, 50, 51] { #expect(!Self.isAsked(Self.request(after: after))) }
    }

    @Test("Not for another epoch, nor for a pair beyond the primary's end, nor without a tag")
    func histories() {
        #expect(!Self.isAsked(Self.request(epoch: "f")))
        #expect(!Self.isAsked(Self.request(pair: HistoryPair(sequence: 51, tag: 7))))
        #expect(Self.isAsked(Self.request(pair: HistoryPair(sequence: 3, tag: 1))))
        #expect(Self.isAsked(Self.request(epoch: "", pair: nil)))
        var untagged = Self.primary
        untagged.tag = nil
        #expect(!Self.isAsked(Self.request(), untagged))
    }

    @Test("The window never ends beyond the primary's log, and its end's tag must be known")
    func windows() {
        func window(_ request: PageRequest) -> Sequence64? {
            StandbyProof(request, Self.primary)?.window
        }
        #expect(window(Self.request()) == 50)
        #expect(window(Self.request(until: 60)) == 50)
        #expect(window(Self.request(until: 40)) == nil)
        #expect(window(Self.request(until: 40, pair: HistoryPair(sequence: 40, tag: 1))) == 40)
        #expect(window(Self.request(until: 40, epoch: "", pair: nil)) == 40)
        #expect(window(Self.request(until: 30, epoch: "", pair: nil)) == nil)
    }

    @Test("Memory is enough for a pair that it covers, and for no client without one")
    func memory() {
        func isEnough(_ request: PageRequest) -> Bool {
            StandbyProof.mayRemember(request, Self.primary)
        }
        #expect(isEnough(Self.request()))
        #expect(isEnough(Self.request(pair: HistoryPair(sequence: 3, tag: 1))))
        #expect(!isEnough(Self.request(pair: HistoryPair(sequence: 51, tag: 1))))
        #expect(!isEnough(Self.request(until: 51)))
        #expect(!isEnough(Self.request(pair: nil)))
        #expect(!isEnough(Self.request(fresh: true)))
    }

    /// What a standby shows, and whether that proves its page.
    private static func isProven(
        _ request: PageRequest = request(), isStandby: Bool = true, epoch: String = "e",
        head: Int64 = 50, tag: UInt64 = 7, floor: Int64 = 20, compacted: Int64 = 0,
        found: TaggedChange? = nil
    ) -> Bool {
        let known = HistoryPair(sequence: head, tag: tag)
        let history = LogHistory(
            isStandby: isStandby,
            end: HistoryEnd(
                head: head, tagged: known, compacted: compacted,
                kept: HistoryPair(sequence: 0, tag: 0)),
            told: found, last: nil)
        guard let proof = StandbyProof(request, primary) else { return false }
        let reading = ScopeReading(
            state: ScopeState(epoch: epoch, head: head, floor: floor), hydratedFrom: nil)
        return (try? proof.check(reading, history, request.served(by: proof))) != nil
    }

    @Test("It proves the primary's last change, in recovery, in the same epoch")
    func proofs() {
        #expect(Self.isProven())
        #expect(!Self.isProven(isStandby: false))
        #expect(!Self.isProven(epoch: "f"))
        #expect(!Self.isProven(head: 49))
        #expect(!Self.isProven(tag: 8))
        // Ahead of what is remembered, and the change there was not read.
        #expect(!Self.isProven(head: 51))
    }

    @Test("It proves the device's own pair: what it lacks, and what was compacted, is not proven")
    func pairs() {
        let change = TaggedChange(
            sequence: 40, operation: UInt8(ascii: "I"), version: 1, changeID: 1, contentHash: 1,
            microsecondsSince2000: 1, key: [1])
        #expect(Self.isProven(Self.request(pair: change.pair), found: change))
        let other = HistoryPair(sequence: 40, tag: change.tag ^ 1)
        #expect(!Self.isProven(Self.request(pair: other), found: change))
        #expect(!Self.isProven(Self.request(pair: change.pair)))
        #expect(!Self.isProven(Self.request(pair: change.pair), compacted: 45))
    }

    @Test("A log that was compacted further than the cursor is not served; 0 needs the same floor")
    func floors() {
        #expect(Self.isProven(floor: 30))
        #expect(!Self.isProven(floor: 31))
        #expect(Self.isProven(Self.request(after: 0)))
        #expect(!Self.isProven(Self.request(after: 0), floor: 19))
    }
}
