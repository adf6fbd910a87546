import Foundation
import OverSQLite
import Synchronization

extension InMemoryGateway {
    /// This gateway with `/sync/watch`, which `/sync/capabilities` then announces.
    ///
    /// Each call returns another front end to the same rows. Keep the one whose streams the test
    /// wants to break.
    public var watchable: WatchableGateway { WatchableGateway(self) }
}

/// An in-memory gateway with a watch stream that a test can break or silence, with compression, and
/// with a limit on body sizes. Plan faults on its ``gateway``, also those for `.watch`.
public final class WatchableGateway: TestTransport {
    private typealias Parts = AsyncThrowingStream<TransportPart, any Error>

    private struct State {
        var streams: [UInt64: Parts.Continuation] = [:]
        var opened = 0
        var nextID: UInt64 = 0
        var features = ["watch"]
        var isSilent = false
        var bodyLimit = Int.max
        var encodings: [String] = []
    }

    /// The gateway whose changes the streams announce.
    public let gateway: InMemoryGateway
    private let state = Mutex(State())

    init(_ gateway: InMemoryGateway) { self.gateway = gateway }

    /// Sets the features that `/sync/capabilities` announces. Initially, that is only `watch`. With
    /// `gzip`, bodies are compressed in both directions.
    public func offer(_ features: [String]) { state.withLock { $0.features = features } }

    /// One line for each plan on ``gateway`` that no request has met.
    public var unusedPlans: [String] { gateway.unusedPlans }

    /// Makes all streams silent from now on, as if a proxy withheld what it receives.
    public func silence() { state.withLock { $0.isSilent = true } }

    /// Breaks every open stream.
    public func breakStreams() {
        let streams = state.withLock { state in
            defer { state.streams = [:] }
            return state.streams.values
        }
        for stream in streams { stream.finish(throwing: ConnectionLost()) }
    }

    /// Answers 413 to upload bodies of more than this many bytes, measured before compression.
    public func limitBodies(to bytes: Int) { state.withLock { $0.bodyLimit = bytes } }

    /// The encoding of each upload so far: `gzip` or `identity`.
    public var uploadEncodings: [String] { state.withLock { $0.encodings } }

    /// The number of streams that are open now, and of all streams opened so far.
    public var streams: (open: Int, opened: Int) {
        state.withLock { ($0.streams.count, $0.opened) }
    }

    /// Serves a request like ``gateway``, with the announced features, compression and the body
    /// limit.
    ///
    /// - Throws: ``ConnectionLost``, or what a fault's closure throws; `CancellationError`.
    public func send(_ request: TransportRequest) async throws -> TransportResponse {
        if request.url.path.hasSuffix("sync/upload") { return try await upload(request) }
        guard request.url.path.hasSuffix("sync/capabilities") else {
            return try await compressed(gateway.send(request), for: request)
        }
        let features = state.withLock { $0.features.map { "\"\($0)\"" }.joined(separator: ",") }
        let call = try Call(request)
        return try await gateway.meeting(call) {
            let (readable, tables) = gateway.state.withLock {
                ($0.readable(of: call), $0.tables(of: call))
            }
            var answer = InMemoryGateway.json(
                200,
                #"{"api_versions":[1],"features":[\#(features)],"limits":{},"tables":[]"#
                    + readable + "}")
            if let tables { answer.headers["oversync-tables"] = tables }
            return answer
        }
    }

    private func upload(_ request: TransportRequest) async throws -> TransportResponse {
        let isCompressed = request.headers["Content-Encoding"] == "gzip"
        let (limit, takesGzip) = state.withLock { state in
            state.encodings.append(isCompressed ? "gzip" : "identity")
            return (state.bodyLimit, state.features.contains("gzip"))
        }
        var request = request
        if isCompressed {
            let body = request.body ?? []
            guard takesGzip, let inflated = Gzip.inflate(body, limit: 64 << 20) else {
                return TransportResponse(status: 415)
            }
            request.body = inflated
        }
        if request.body?.count ?? 0 > limit { return TransportResponse(status: 413) }
        return try await compressed(gateway.send(request), for: request)
    }

    private func compressed(
        _ response: TransportResponse, for request: TransportRequest
    ) -> TransportResponse {
        guard state.withLock({ $0.features.contains("gzip") }),
            request.headers["Accept-Encoding"] == "gzip", let body = Gzip.deflate(response.body)
        else { return response }
        var response = response
        response.headers["content-encoding"] = "gzip"
        response.body = body
        return response
    }

    /// Always true.
    public var canStream: Bool { true }

    /// Serves `/sync/watch` until the stream is broken or the task is cancelled, or applies the
    /// fault planned for it.
    ///
    /// - Throws: ``ConnectionLost``, or what `receive` or a fault's closure throws.
    public func stream(
        _ request: TransportRequest,
        _ receive: @escaping @Sendable (TransportPart) async throws -> Void
    ) async throws {
        let opening = TransportResponse(status: 200, headers: ["content-type": "text/event-stream"])
        var isServed = false
        let call = try Call(request)
        let head = try await gateway.meeting(call) {
            if gateway.state.withLock({ $0.areOthers(call) }) {
                let error = GatewayError.tablesChanged
                return InMemoryGateway.json(error.status, #"{"error":"\#(error.code)"}"#)
            }
            isServed = true
            return opening
        }
        guard isServed else { return try await receive(.head(head)) }
        let (parts, continuation) = Parts.makeStream()
        let id = state.withLock { state in
            state.nextID += 1
            state.opened += 1
            state.streams[state.nextID] = continuation
            return state.nextID
        }
        defer { state.withLock { _ = $0.streams.removeValue(forKey: id) } }
        continuation.yield(.head(head))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for try await part in parts { try await receive(part) }
            }
            group.addTask { try await self.tell(request, continuation) }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Announces each growth of the user's log beyond what the device has.
    private func tell(_ request: TransportRequest, _ parts: Parts.Continuation) async throws {
        var call = try Call(request)
        var told = Int(call.query["after"] ?? "") ?? 0
        while true {
            let head = gateway.logCount(user: call.user)
            if head != told {
                told = head
                let text =
                    "id: \(head)\nevent: change\ndata: {\"highest_server_seq\":\(head)}\n\n"
                if state.withLock({ !$0.isSilent }) { parts.yield(.bytes(Array(text.utf8))) }
            }
            call.query["after"] = String(told)
            try await gateway.waitForNews(call)
            // The real one ends it, too.
            if gateway.state.withLock({ $0.areOthers(call) }) { return parts.finish() }
        }
    }
}
