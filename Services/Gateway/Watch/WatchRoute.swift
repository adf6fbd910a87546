import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import Protos
import RPC
import ServiceLifecycle
import Synchronization

/// `/sync/watch`: server-sent events that tell a device of each growth of its user's log.
struct WatchRoute: Sendable {
    /// Between two comments that say the stream still lives.
    static let heartbeat: Duration = .seconds(25)
    /// A device comes back by itself after a year, in seconds.
    private static let longestLifeSeconds: TimeInterval = 365 * 86_400

    let download: RPCClient
    let watchers: Watchers

    var routes: [Route] {
        [Route(.get, "/sync/watch", for: .users) { try await watch($0, $1) }]
    }

    private func watch(_ request: Request, _ scope: RequestScope) async throws -> Response {
        guard let verified = scope.verified else { throw WireError.internalError }
        let given =
            request.uri.queryParameters["after"] ?? request.headers[.lastEventID].map { $0[...] }
        let after = try DownloadQuery.cursor(given, "after")
        let life = Self.life(until: verified.expires, now: Date().timeIntervalSince1970)
        let place = try watchers.enter()
        let feed = HeadFeed(
            download: download, after: after, epoch: try request.epoch,
            context: CallContext(
                requestID: scope.requestID, traceparent: scope.traceparent,
                deadline: .now + life, caller: verified.identity))
        // What is wrong with the request is answered with its status, before the stream begins.
        let first = try await feed.open()
        var response = Response(
            status: .ok,
            headers: [
                .contentType: "text/event-stream", .cacheControl: "no-store",
                .init("X-Accel-Buffering")!: "no",
            ],
            body: ResponseBody { writer in
                defer { withExtendedLifetime(place) {} }
                try await Self.write(feed, first, life: life, to: &writer)
                try await writer.finish(nil)
            })
        if request.method == .head { response.body = ResponseBody() }
        return response
    }

    /// How long a watch may last. A token may say that it ends at any number, also one that no clock reaches.
    ///
    /// - Parameters: both in seconds since 1970.
    static func life(until expires: TimeInterval, now: TimeInterval) -> Duration {
        .seconds(min(max(0, expires - now), longestLifeSeconds))
    }

    private static func write(
        _ feed: HeadFeed, _ first: HeadFeed.Opening, life: Duration,
        to writer: inout any ResponseBodyWriter
    ) async throws {
        let (events, continuation) = AsyncStream<WatchEvent>.makeStream(
            bufferingPolicy: .bufferingNewest(8))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await feed.follow(first) { continuation.yield(.head($0)) }
                continuation.finish()
            }
            group.addTask {
                let end = ContinuousClock.now + life
                while !Task.isCancelled {
                    let next = min(end, .now + heartbeat)
                    // A comment now and then tells proxies and devices that the stream lives.
                    try? await Task.sleep(until: next, clock: .continuous)
                    if next == end { continuation.finish() } else { continuation.yield(.comment) }
                    if next == end { return }
                }
            }
            group.addTask {
                // Over as soon as the gateway goes down, or this group is.
                try? await gracefulShutdown()
                continuation.finish()
            }
            defer { group.cancelAll() }
            try await writer.write(ByteBuffer(string: WatchEvent.greeting))
            for await event in events { try await writer.write(ByteBuffer(string: event.text)) }
        }
    }
}

/// One thing that a watch says.
enum WatchEvent: Hashable, Sendable {
    case head(Int64)
    case comment

    /// Tells the device how long to wait before it comes back, should the stream end: milliseconds.
    static let greeting = "retry: 1000\n\n"

    var text: String {
        switch self {
        case .head(let head):
            "id: \(head)\nevent: change\ndata: {\"highest_server_seq\":\(head)}\n\n"
        case .comment: ": alive\n\n"
        }
    }
}

/// How many watch at once, within a limit.
final class Watchers: Sendable {
    private let limit: Int
    private let count = Atomic(0)

    init(limit: Int) { self.limit = limit }

    /// Watches that are open.
    var open: Int { count.load(ordering: .relaxed) }

    /// - Returns: a place, given back when it goes.
    /// - Throws: `WireError` 503 when there is none.
    func enter() throws(WireError) -> Place {
        guard count.add(1, ordering: .relaxed).newValue <= limit else {
            count.subtract(1, ordering: .relaxed)
            throw WireError(
                status: .serviceUnavailable, code: "too_many_watchers",
                message: "Too many devices watch; use /sync/download?wait, or come back later",
                retryAfter: 10)
        }
        return Place(watchers: self)
    }

    final class Place: Sendable {
        private let watchers: Watchers
        fileprivate init(watchers: Watchers) { self.watchers = watchers }
        deinit { watchers.count.subtract(1, ordering: .relaxed) }
    }
}
