import Compression
import HTTPTypes
import Hummingbird
import NIOCore
import NIOPosix
import RPC

/// Reads request bodies within the gateway's limits, and charges them to the caller: what came, and what it became.
struct BodyReader: Sendable {
    let maximumBytes: Int
    /// Nil charges nobody: bodies that are small, or come before the caller is known.
    var limits: RateLimits?

    /// The whole body.
    ///
    /// - Throws: `WireError` 413 for a body over the limit, as it comes or inflated, at once where its length is
    ///   announced; 415 for an encoding that is not gzip; 400 for one that says so and is not; 503 when it
    ///   does not arrive in time, or not before the gateway goes down.
    func body(of request: Request, _ scope: RequestScope) async throws -> ByteBuffer {
        let isCompressed = try isGzip(request.headers[.contentEncoding])
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > maximumBytes
        {
            throw WireError.tooLarge(limit: maximumBytes)
        }
        let body = try await arrived(request, scope)
        guard isCompressed else { return body }
        let whole = try await inflated(body)
        charge(whole.readableBytes - body.readableBytes, to: scope)
        return whole
    }

    private func charge(_ bytes: Int, to scope: RequestScope) {
        guard let limits, let caller = scope.caller else { return }
        limits.charge(caller.user, bytes: bytes)
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

    private func inflated(_ body: ByteBuffer) async throws(WireError) -> ByteBuffer {
        switch await LongWork.inflate(body, limit: maximumBytes) {
        case .success(let whole): return whole
        case .failure(.tooLarge): throw .tooLarge(limit: maximumBytes)
        case .failure(.corrupt), .failure(.truncated):
            throw .invalid("the body is not a whole gzip stream, as its Content-Encoding says")
        }
    }

    /// A body that trickles in has the request's time and no more.
    private func arrived(_ request: Request, _ scope: RequestScope) async throws -> ByteBuffer {
        // Where the body comes, which spares a change of threads for each of its parts.
        let executor = MultiThreadedEventLoopGroup.currentEventLoop.map(EventLoopExecutor.of)
        let collecting = Task(executorPreference: executor) {
            try await collect(request.body, scope)
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

    private func collect(
        _ body: RequestBody, _ scope: RequestScope
    ) async throws -> ByteBuffer {
        var whole = ByteBuffer()
        do {
            for try await var part in body {
                charge(part.readableBytes, to: scope)
                guard whole.readableBytes + part.readableBytes <= maximumBytes else {
                    throw WireError.tooLarge(limit: maximumBytes)
                }
                if whole.readableBytes == 0 { whole = part } else { whole.writeBuffer(&part) }
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
