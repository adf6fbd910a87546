import Model
import Protos
import RPC
import ServiceLifecycle
import SwiftProtobuf
import Synchronization
import Telemetry

/// Tells every Download replica what was committed, before the device that made the change is
/// answered: a download that starts after an upload was acknowledged sees it, on every replica.
///
/// Commits that come while an announcement is under way go out together with the next one. The wait
/// for a replica that does not answer is short: it finds out by its own poll.
final class HeadAnnouncer: Service {
    /// Longest time that an announcement delays the answers of its uploads.
    static let patience: Duration = .milliseconds(100)

    /// A user's last sequence, and when it was committed.
    private struct Head {
        let head: LogHead
        /// In microseconds since 1970; 0: not known.
        let committed: Int64
    }

    private struct State {
        var heads: [UserID: Head] = [:]
        var waiters: [CheckedContinuation<Void, Never>] = []
        var isOpen = true
    }

    private let download: RPCClient
    private let state = Mutex(State())
    private let wakeUps: AsyncStream<Void>
    private let wakeUp: AsyncStream<Void>.Continuation
    private let missed: Counter

    /// - Parameter download: calls the replicas of Download.
    init(download: RPCClient, metrics: MetricsRegistry) {
        self.download = download
        (wakeUps, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        missed = metrics.counter(
            "oversync_upload_announcements_missed_total",
            "Replicas of Download that did not answer an announcement in time")
    }

    /// Returns when every replica knows, or time is up.
    ///
    /// - Parameters:
    ///   - head: the last sequence.
    ///   - end: the change there, if its tag is known.
    ///   - isNew: whether it was committed just now; else it may have been a while ago.
    func announce(
        _ head: Sequence64, _ end: HistoryPair?, of user: UserID, isNew: Bool = false
    ) async {
        let committed = isNew ? WallClock.microseconds : 0
        await withCheckedContinuation { continuation in
            let isOpen = state.withLock { state in
                guard state.isOpen else { return false }
                if head > state.heads[user]?.head.sequence ?? 0 {
                    state.heads[user] = Head(
                        head: LogHead(sequence: head, pair: end), committed: committed)
                }
                state.waiters.append(continuation)
                return true
            }
            guard isOpen else { return continuation.resume() }
            wakeUp.yield()
        }
    }

    /// Sends announcements, one at a time, until graceful shutdown.
    func run() async throws {
        await withTaskCancellationOrGracefulShutdownHandler {
            for await _ in wakeUps { await send() }
            await send()
        } onCancelOrGracefulShutdown: {
            self.state.withLock { $0.isOpen = false }
            self.wakeUp.finish()
        }
    }

    private func send() async {
        let (heads, waiters) = state.withLock { state in
            defer { (state.heads, state.waiters) = ([:], []) }
            return (state.heads, state.waiters)
        }
        guard !heads.isEmpty else { return }
        var request = NoteHeadsRequest()
        request.heads = heads.map { user, known in
            UserHead.with {
                $0.user = user.value
                $0.lastSeq = known.head.sequence
                $0.lastTag = known.head.pair?.tag ?? 0
                $0.committedUs = known.committed
            }
        }
        let (called, answered) = await download.broadcast(
            DownloadRPC.noteHeads, request,
            context: CallContext(requestID: "announce", deadline: .now + Self.patience))
        missed.add(called - answered)
        for waiter in waiters { waiter.resume() }
    }
}
