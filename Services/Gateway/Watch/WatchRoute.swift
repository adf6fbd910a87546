import Foundation
import HTTPTypes
import Hummingbird
import NIOCore
import RPC

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
        // `Watchers` ends it when the gateway goes down.
        scope.admission?.begin(.waiting)
        let watch = Watch(
            after: after, epoch: try request.epoch, pair: try request.history,
            readable: try request.readable, download: download,
            context: CallContext(
                requestID: scope.requestID, trace: scope.trace,
                deadline: .now + life, caller: verified.identity),
            place: try watchers.enter(verified.identity))
        // One that says no more may still listen.
        scope.admission?.whenClientLeaves { [weak watch] in if $0 == .gone { watch?.end() } }
        // What is wrong with the request is answered with its status, before the stream begins.
        try await watch.open(by: scope.deadline)
        var response = Response(
            status: .ok,
            headers: [
                .contentType: "text/event-stream",
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
        try await withTaskCancellationHandler {
            try await writer.write(ByteBuffer(string: WatchEvent.greeting))
            while let event = await watch.next() {
                try await writer.write(ByteBuffer(string: event.text))
            }
        } onCancel: {
            watch.end()
        }
    }
}
