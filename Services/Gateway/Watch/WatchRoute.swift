import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import RPC
import ServiceKit
import ServiceLifecycle
import Synchronization

/// `/sync/watch`: server-sent events that tell a device of each growth of its user's log.
struct WatchRoute: Sendable {
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
        let watch = Watch(
            after: after, epoch: try request.epoch, download: download,
            context: CallContext(
                requestID: scope.requestID, traceparent: scope.traceparent,
                deadline: .now + life, caller: verified.identity),
            place: try watchers.enter())
        // What is wrong with the request is answered with its status, before the stream begins.
        try await watch.open()
        var response = Response(
            status: .ok,
            headers: [
                .contentType: "text/event-stream", .cacheControl: "no-store",
                .init("X-Accel-Buffering")!: "no",
            ],
            body: ResponseBody { writer in
                defer { watch.end() }
                try await Self.write(watch, to: &writer)
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
        _ watch: Watch, to writer: inout any ResponseBodyWriter
    ) async throws {
        try await withTaskCancellationOrGracefulShutdownHandler {
            try await writer.write(ByteBuffer(string: WatchEvent.greeting))
            while let event = await watch.next() {
                try await writer.write(ByteBuffer(string: event.text))
            }
        } onCancelOrGracefulShutdown: {
            watch.end()
        }
    }
}

/// How many watch at once, within a limit.
final class Watchers: Sendable {
    private let limit: Int
    private let count = Atomic(0)
    private let alarms = Alarms<WeakWatch> { $0.watch?.ring() }

    /// A watch, as its alarm knows it.
    private struct WeakWatch: Sendable {
        weak let watch: Watch?
    }

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

        /// Rings at that time, if the watch is still there.
        func ring(_ watch: Watch, at instant: ContinuousClock.Instant) {
            watchers.alarms.set(WeakWatch(watch: watch), at: instant)
        }

        deinit { watchers.count.subtract(1, ordering: .relaxed) }
    }
}
