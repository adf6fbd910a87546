import Compression
import HTTPTypes
import Hummingbird
import NIOCore
import NIOPosix
import RPC
import Synchronization

/// Reads request bodies within the gateway's limits, and charges them to the caller: what came, and what it became.
struct BodyReader: Sendable {
    /// Bytes that a body holds beyond what has come of it.
    private static let step = 64 << 10

    let maximumBytes: Int
    let work: LongWork
    /// Nil charges nobody: bodies that are small, or come before the caller is known.
    var limits: RateLimits?
    /// What to do about a body over the limit.
    var advice = "send a smaller one"

    private var tooLarge: WireError { .tooLarge(limit: maximumBytes, advice: advice) }

    /// The whole body.
    ///
    /// - Throws: `WireError` 413 for a body over the limit, as it comes or inflated, at once where
    ///   its length is announced; 429 or 503 for one that the gateway has no memory for, likewise
    ///   (`HeldBytes`); 415 for an encoding that is not gzip; 400 for one that says so and is not;
    ///   503 when it does not arrive in time, or not before the gateway goes down.
    func body(of request: Request, _ scope: RequestScope) async throws -> ByteBuffer {
        let isCompressed = try isGzip(request.headers[.contentEncoding])
        let length = max(0, request.headers[.contentLength].flatMap { Int($0) } ?? 0)
        guard length <= maximumBytes else { throw tooLarge }
        // Refused at once if it cannot fit; what it holds grows as it comes.
        try scope.held?.hold(0, expected: length, leavesRoom: true)
        let body = try await arrived(request, length, scope)
        scope.held?.holdAnyway(body.readableBytes)
        guard isCompressed else { return body }
        let whole = try await inflated(body, scope)
        // What came compressed is needed no more.
        scope.held?.holdAnyway(whole.readableBytes)
        charge(whole.readableBytes - body.readableBytes, to: scope)
        return whole
    }

    func charge(_ bytes: Int, to scope: RequestScope) {
        guard let limits, let caller = scope.caller else { return }
        limits.charge(caller.userID, bytes: bytes)
    }

    private func isGzip(_ encoding: String?) throws(WireError) -> Bool {
        switch encoding?.lowercased() {
        case nil, "identity": return false
        case "gzip", "x-gzip": return true
        case .some(let encoding):
            throw WireError(
                status: .unsupportedMediaType, code: "unsupported_encoding",
                message:
                    "Content-Encoding \(encoding.prefix(32)) is not supported; send gzip, or the body as it is"
            )
        }
    }

    private func inflated(
        _ body: ByteBuffer, _ scope: RequestScope
    ) async throws(WireError) -> ByteBuffer {
        let refusal = Mutex<WireError?>(nil)
        let user = scope.caller?.userID
        let result = await work.inflate(body, limit: maximumBytes, of: user) { bytes in
            do throws(WireError) {
                try scope.held?.hold(body.readableBytes + bytes)
                return true
            } catch {
                refusal.withLock { $0 = error }
                return false
            }
        }
        switch result {
        case .success(let whole): return whole
        case .failure(.tooLarge): throw tooLarge
        case .failure(.noRoom): throw refusal.withLock { $0 } ?? .internalError
        case .failure(.corrupt), .failure(.truncated):
            throw .invalid("the body is not a whole gzip stream, as its Content-Encoding says")
        }
    }

    /// A body that trickles in has the request's time and no more.
    private func arrived(
        _ request: Request, _ length: Int, _ scope: RequestScope
    ) async throws -> ByteBuffer {
        // Where the body comes, which spares a change of threads for each of its parts.
        let executor = MultiThreadedEventLoopGroup.currentEventLoop.map(EventLoopExecutor.of)
        let collecting = Task(executorPreference: executor) {
            try await collect(request.body, length, scope)
        }
        // By the event loop: a second task that sleeps would cost more than most bodies take.
        let alarm = MultiThreadedEventLoopGroup.singleton.any().scheduleTask(
            in: TimeAmount(max(.zero, scope.deadline - .now))
        ) { collecting.cancel() }
        defer { alarm.cancel() }
        scope.admission?.begin(.receiving) { collecting.cancel() }
        let body = try await withTaskCancellationHandler {
            try await collecting.value
        } onCancel: {
            collecting.cancel()
        }
        scope.admission?.goOn()
        return body
    }

    /// - Parameter length: as announced; 0 where it is not known.
    private func collect(
        _ body: RequestBody, _ length: Int, _ scope: RequestScope
    ) async throws -> ByteBuffer {
        var whole = ByteBuffer()
        var held = 0
        let most = length > 0 ? length : maximumBytes
        do {
            for try await var part in body {
                charge(part.readableBytes, to: scope)
                let bytes = whole.readableBytes + part.readableBytes
                guard bytes <= maximumBytes else { throw tooLarge }
                if bytes > held {
                    held = max(bytes, min(bytes + Self.step, most))
                    try scope.held?.hold(held)
                }
                guard whole.readableBytes > 0 else {
                    whole = part.withoutSpareStorage()
                    continue
                }
                whole.writeBuffer(&part)
            }
        } catch {
            if Task.isCancelled { throw Self.givenUp(scope) }
            // Whatever ended the connection, it was not ours: the device will not even see the answer.
            throw error is WireError ? error : WireError.cutOff
        }
        // A body that nobody waits for any more ends as if it were whole.
        guard !Task.isCancelled else { throw Self.givenUp(scope) }
        return whole
    }

    private static func givenUp(_ scope: RequestScope) -> WireError {
        let isDraining = scope.admission?.isDraining ?? false
        return isDraining && .now < scope.deadline ? .draining : .timedOut
    }
}
