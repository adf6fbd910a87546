import NIOCore
import SwiftProtobuf

/// The methods that a server answers.
package struct RPCRouter: Sendable {
    /// A handler without its types: bytes in, bytes out.
    enum Handler: Sendable {
        case single(
            @Sendable (_ message: ByteBuffer, _ body: ByteBuffer, CallContext) async throws
                -> (message: ByteBuffer, body: ByteBuffer))
        case stream(
            @Sendable (_ message: ByteBuffer, _ body: ByteBuffer, CallContext, PartWriter)
                async throws -> Void)
    }

    private var handlers: [String: Handler] = [:]

    package init() {}

    /// Answers `method` with what `handler` returns or throws. The task of a handler is cancelled
    /// when the caller cancels, its connection ends, or the deadline passes.
    package mutating func on<Request, Reply>(
        _ method: RPCMethod<Request, Reply>,
        _ handler:
            @escaping @Sendable (Request, ByteBuffer, CallContext) async throws
            -> RPCReply<Reply>
    ) {
        handlers[method.name] = .single { message, body, context in
            let request: Request = try decode(message, of: method.name)
            let reply = try await handler(request, body, context)
            return (try reply.message.encodedForFrame(), reply.body)
        }
    }

    /// Answers `method` with the parts that `handler` writes. Its return ends the stream.
    package mutating func onStream<Request, Reply>(
        _ method: RPCMethod<Request, Reply>,
        _ handler:
            @escaping @Sendable (Request, ByteBuffer, CallContext, RPCStreamWriter<Reply>)
            async throws -> Void
    ) {
        handlers[method.name] = .stream { message, body, context, writer in
            let request: Request = try decode(message, of: method.name)
            try await handler(request, body, context, RPCStreamWriter(parts: writer))
        }
    }

    func handler(for method: String) -> Handler? {
        handlers[method]
    }
}

private func decode<Request: SwiftProtobuf.Message>(
    _ bytes: ByteBuffer, of method: String
) throws(RPCFailure) -> Request {
    do {
        return try Request(frameBytes: bytes)
    } catch {
        throw RPCFailure(
            .invalidArgument, code: "bad_message",
            message: "The message is not a request of \(method)")
    }
}

/// Writes the parts of a streamed answer.
package struct RPCStreamWriter<Reply: SwiftProtobuf.Message & Sendable>: Sendable {
    let parts: PartWriter

    /// Sends one part. Waits while the reader is behind or the socket is full.
    ///
    /// - Throws: `RPCFailure.cancelled` once nobody reads any more; a failure with code
    ///   `answer_too_large` when the part is over the frame limit.
    package func write(_ message: Reply, body: ByteBuffer = ByteBuffer()) async throws {
        try await parts.write(try message.encodedForFrame(), body: body)
    }
}
