import Protos
import RPC

/// The growth of one user's log, as a Download replica tells of it; when that replica goes, another.
struct HeadFeed: Sendable {
    /// First pause before another replica is tried; doubles up to the longest.
    private static let firstPause: Duration = .milliseconds(100)
    private static let longestPause: Duration = .seconds(5)

    let download: RPCClient
    /// What the device has: news is what differs from it.
    let after: Int64
    /// Empty when the device did not say.
    let epoch: String
    /// Its deadline ends the feed.
    let context: CallContext

    /// A stream whose first word has come.
    struct Opening: Sendable {
        let head: Int64
        /// Goes on behind the first word.
        let rest: RPCReplyStream<WatchHeadReply>
    }

    /// Begins.
    ///
    /// - Throws: `RPCFailure`: `history_pruned` and the like, or `unavailable`.
    func open() async throws -> Opening {
        try await open(after: after, epoch: epoch)
    }

    private func open(after: Int64, epoch: String) async throws -> Opening {
        var request = WatchHeadRequest()
        request.after = after
        request.epoch = epoch
        let stream = try await download.stream(
            DownloadRPC.watchHead, request, context: context)
        var parts = stream.makeAsyncIterator()
        guard let first = try await parts.next() else { throw RPCFailure.unavailable() }
        return Opening(head: first.message.highestServerSeq, rest: stream)
    }

    /// Hands on each new last sequence, until the deadline, until the device may watch no more, or until
    /// the task is cancelled.
    func follow(_ first: Opening, _ tell: (Int64) -> Void) async {
        var told = after
        var opening = first
        var pause = Self.firstPause
        while !Task.isCancelled {
            if opening.head != told {
                told = opening.head
                tell(told)
            }
            do {
                for try await part in opening.rest {
                    pause = Self.firstPause
                    let head = part.message.highestServerSeq
                    if head != told { tell(head) }
                    told = head
                }
            } catch let failure as RPCFailure where failure.status != .unavailable {
                return
            } catch {}
            guard let next = await reopen(after: told, &pause) else { return }
            opening = next
        }
    }

    private func reopen(after: Int64, _ pause: inout Duration) async -> Opening? {
        while !Task.isCancelled, .now < context.deadline {
            // Spread at random: the watchers of a lost replica must not all come back at once.
            try? await Task.sleep(for: pause * Double.random(in: 0.5...1))
            pause = min(pause * 2, Self.longestPause)
            do {
                return try await open(after: after, epoch: epoch)
            } catch let failure as RPCFailure where failure.status != .unavailable {
                return nil
            } catch {}
        }
        return nil
    }
}
