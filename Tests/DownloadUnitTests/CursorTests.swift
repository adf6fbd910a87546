import Model
import Protos
import RPC
import Sidecar
import Testing

@testable import DownloadService

@Suite("What is asked of a log, and whether it can be served")
struct CursorTests {
    private static let scope = ScopeState(epoch: "e", head: 50, floor: 20)

    /// What a cursor is answered; nil where it is served.
    private static func refusal(
        after: Sequence64, epoch: String? = "e", hydratedFrom: Sequence64? = nil,
        _ history: HistoryFinding? = nil
    ) -> String? {
        do {
            try CursorCheck(after: after, epoch: epoch)
                .check(
                    ScopeReading(state: scope, hydratedFrom: hydratedFrom, history: history))
            return nil
        } catch {
            return error.code
        }
    }

    @Test("H1: 0 and what is not below the floor are served; between them deletes may be missing")
    func floor() {
        #expect(Self.refusal(after: 0) == nil)
        #expect(Self.refusal(after: 1) == "history_pruned")
        #expect(Self.refusal(after: 19) == "history_pruned")
        #expect(Self.refusal(after: 20) == nil)
        #expect(Self.refusal(after: 50) == nil)
    }

    @Test("H1: below the floor only who began to read at 0 while it was this floor is served")
    func hydration() {
        #expect(Self.refusal(after: 19, hydratedFrom: 20) == nil)
        #expect(Self.refusal(after: 19, hydratedFrom: 19) == "history_pruned")
        #expect(Self.refusal(after: 19, hydratedFrom: 21) == "history_pruned")
    }

    @Test("A cursor beyond the end tells of a restored server, but to clients that name no epoch")
    func ahead() {
        #expect(Self.refusal(after: 51) == "checkpoint_ahead")
        #expect(Self.refusal(after: .max) == "checkpoint_ahead")
        #expect(Self.refusal(after: 51, epoch: nil) == nil)
    }

    @Test("Another history is told before anything else, and to nobody who names none")
    func epoch() {
        #expect(Self.refusal(after: 0, epoch: "f") == "epoch_changed")
        #expect(Self.refusal(after: 1, epoch: "f") == "epoch_changed")
        #expect(Self.refusal(after: 51, epoch: "f") == "epoch_changed")
        #expect(Self.refusal(after: 1, epoch: nil) == "history_pruned")
    }

    @Test("A fork is told before the cursor is looked at, what cannot be proved after it")
    func histories() {
        #expect(Self.refusal(after: 0, .same) == nil)
        #expect(Self.refusal(after: 0, .hole) == nil)
        for after: Sequence64 in [0, 5, 30, 51] {
            #expect(Self.refusal(after: after, .forked) == "history_forked")
            #expect(Self.refusal(after: after, epoch: nil, .forked) == "history_forked")
            #expect(Self.refusal(after: after, epoch: "f", .forked) == "epoch_changed")
        }
        #expect(Self.refusal(after: 0, .unproven) == "history_unproven")
        #expect(Self.refusal(after: 5, .unproven) == "history_pruned")
        #expect(Self.refusal(after: 5, hydratedFrom: 20, .unproven) == "history_unproven")
        #expect(Self.refusal(after: 51, .unproven) == "checkpoint_ahead")
    }

    @Test("Memory answers an idle device only where it knows the change that the device names")
    func proof() {
        func isProven(_ tag: UInt64?, _ pair: HistoryPair?, epoch: String = "e") -> Bool {
            let request = Self.request {
                ($0.epoch, $0.historySeq, $0.historyTag) =
                    (epoch, pair?.sequence ?? 0, pair?.tag ?? 0)
            }
            var scope = Self.scope
            scope.tag = tag
            return request.isProven(by: scope)
        }
        let end = HistoryPair(sequence: 50, tag: 7)
        #expect(isProven(7, end))
        #expect(!isProven(nil, end))
        #expect(!isProven(8, end))
        #expect(!isProven(7, HistoryPair(sequence: 49, tag: 7)))
        #expect(!isProven(7, HistoryPair(sequence: 51, tag: 7)))
        // A device without one gets its first; an older client is not asked.
        #expect(isProven(7, nil))
        #expect(!isProven(nil, nil))
        #expect(isProven(nil, nil, epoch: ""))
    }

    private static func request(
        _ fill: (inout PullChangesRequest) -> Void
    ) -> PageRequest {
        var message = PullChangesRequest()
        fill(&message)
        return PageRequest(
            message, user: UserID("ann"), device: DeviceID("phone"), limits: WireLimits())
    }

    @Test("A window ends where it was asked to, never beyond the log")
    func window() {
        #expect(Self.request { $0.until = 30 }.window(of: Self.scope) == 30)
        #expect(Self.request { $0.until = 51 }.window(of: Self.scope) == 50)
        #expect(Self.request { $0.until = .max }.window(of: Self.scope) == 50)
        #expect(Self.request { _ in }.window(of: Self.scope) == 50)
        // Nobody asks for it through the gateway; it is as if no window were named.
        #expect(Self.request { $0.until = -1 }.window(of: Self.scope) == 50)
    }

    @Test("What goes beyond a limit is served up to it; what is not said gets the default")
    func bounds() {
        let limits = WireLimits()
        #expect(Self.request { _ in }.limit == WireLimits.defaultRowsPerPage)
        #expect(Self.request { $0.limit = -1 }.limit == WireLimits.defaultRowsPerPage)
        #expect(Self.request { $0.limit = 7 }.limit == 7)
        #expect(Self.request { $0.limit = .max }.limit == limits.rowsPerPage)
        #expect(Self.request { $0.after = .min }.after == 0)
        let longest = Duration.seconds(WireLimits.maximumWaitSeconds)
        #expect(Self.request { $0.waitSeconds = .max }.wait == longest)
        #expect(Self.request { $0.waitSeconds = 3 }.wait == .seconds(3))
    }
}
