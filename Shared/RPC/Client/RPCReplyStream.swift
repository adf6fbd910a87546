import NIOCore
import Protos
import SwiftProtobuf
import Synchronization

/// The parts of a streamed answer, in order. For one reader.
///
/// A reader that is slow holds up the handler, not the connection: the server sends as many parts
/// as were granted, and parts that are taken grant others. Letting go of the stream, or cancelling
/// the task that reads it, cancels the handler.
package struct RPCReplyStream<Reply: SwiftProtobuf.Message & Sendable>: AsyncSequence, Sendable {
    package typealias Element = RPCReply<Reply>

    fileprivate let parts: AsyncThrowingStream<Frame, any Error>
    fileprivate let call: StreamedCall

    package func makeAsyncIterator() -> Iterator {
        Iterator(parts: parts.makeAsyncIterator(), call: call)
    }

    /// Throws `RPCFailure`.
    package struct Iterator: AsyncIteratorProtocol {
        fileprivate var parts: AsyncThrowingStream<Frame, any Error>.Iterator
        fileprivate let call: StreamedCall
        fileprivate var taken: UInt32 = 0

        package mutating func next() async throws -> RPCReply<Reply>? {
            guard let frame = try await parts.next() else {
                if Task.isCancelled { throw RPCFailure.cancelled }
                return nil
            }
            taken += 1
            if taken >= call.grantSize {
                call.grant(taken)
                taken = 0
            }
            guard let message = try? Reply(frameBytes: frame.message) else {
                throw RPCFailure.internal
            }
            return RPCReply(message, body: frame.body)
        }
    }
}

extension RPCClient {
    /// Makes a call whose answer comes in parts. A stream is not repeated elsewhere when its
    /// connection dies: what was read is read, and only the caller knows where to go on.
    ///
    /// - Throws: `unavailable` when there is no replica. Everything later is thrown while reading.
    package func stream<Request, Reply>(
        _ method: RPCMethod<Request, Reply>, _ message: Request, body: ByteBuffer = ByteBuffer(),
        context: CallContext
    ) async throws(RPCFailure) -> RPCReplyStream<Reply> {
        guard let bytes = try? message.encodedForFrame() else { throw .internal }
        let (parts, continuation) = AsyncThrowingStream<Frame, any Error>.makeStream()
        let call = try await begin(method.name, bytes, body, context) { connection, id in
            continuation.onTermination = { reason in
                if case .cancelled = reason { connection.cancel(id) }
            }
            return PartSink(
                part: { continuation.yield($0) }, end: { continuation.finish(throwing: $0) })
        }
        return RPCReplyStream(parts: parts, call: call)
    }

    /// The same for a caller that gets the parts by a callback instead of reading: a stream that is
    /// mostly silent then needs no task that waits. Parts are taken as they come.
    ///
    /// - Parameter hear: called on the connection's event loop, one event at a time; may be called
    ///   before this method returns.
    /// - Returns: what keeps the call alive. Letting go of it cancels the handler.
    package func subscribe<Request, Reply>(
        _ method: RPCMethod<Request, Reply>, _ message: Request, context: CallContext,
        _ hear: @escaping @Sendable (RPCStreamEvent<Reply>) -> Void
    ) async throws(RPCFailure) -> RPCSubscription {
        guard let bytes = try? message.encodedForFrame() else { throw .internal }
        let call = try await begin(method.name, bytes, ByteBuffer(), context) { connection, id in
            PartSink(
                part: { frame in
                    connection.grant(id, parts: 1)
                    guard let message = try? Reply(frameBytes: frame.message) else { return }
                    hear(.part(RPCReply(message, body: frame.body)))
                },
                end: { hear(.end($0)) })
        }
        return RPCSubscription(call: call)
    }

    private func begin(
        _ method: String, _ message: ByteBuffer, _ body: ByteBuffer, _ context: CallContext,
        sink: (ReplicaConnection, UInt32) -> PartSink
    ) async throws(RPCFailure) -> StreamedCall {
        let lease = try await replica(for: context)
        do throws(RPCFailure) {
            var frame = try makeFrame(method, message, body, context)
            frame.header.partCredit = limits.streamCredit
            let call = StreamedCall(
                id: frame.header.callID, connection: lease.connection,
                grantSize: max(1, limits.streamCredit / 2))
            let receiver = PartReceiver(
                sink: sink(lease.connection, call.id), method: method,
                requestID: context.requestID, requestBytes: body.readableBytes, events: events
            ) { failure in
                // Before its caller resumes: its next call goes elsewhere.
                if failure?.code == RPCFailure.draining.code { self.leave(lease) }
                self.release(lease)
            }
            lease.connection.begin(frame, deadline: context.deadline, receiver: receiver)
            return call
        } catch {
            release(lease)
            throw error
        }
    }
}

/// What a subscription tells.
package enum RPCStreamEvent<Reply: SwiftProtobuf.Message & Sendable>: Sendable {
    case part(RPCReply<Reply>)
    /// Nothing comes any more. Without a failure the handler has returned.
    case end(RPCFailure?)
}

/// A streamed call whose parts go to a callback. The end of its last copy cancels the call.
package struct RPCSubscription: Sendable {
    fileprivate let call: StreamedCall
}

/// Where the parts of a stream go, and its end.
private struct PartSink: Sendable {
    let part: @Sendable (Frame) -> Void
    let end: @Sendable (RPCFailure?) -> Void
}

/// A call under way whose parts somebody reads. The end of its life cancels the call, which does
/// nothing when the call is over.
private final class StreamedCall: Sendable {
    let id: UInt32
    /// Parts that are granted at a time: fewer frames than one for each part.
    let grantSize: UInt32
    private let connection: ReplicaConnection

    init(id: UInt32, connection: ReplicaConnection, grantSize: UInt32) {
        self.id = id
        self.connection = connection
        self.grantSize = grantSize
    }

    deinit {
        connection.cancel(id)
    }

    func grant(_ parts: UInt32) {
        connection.grant(id, parts: parts)
    }
}

/// Hands the frames of a stream on, and counts them.
private final class PartReceiver: CallReceiver {
    private let sink: PartSink
    private let events: RPCEventSink
    private let record: Mutex<RPCCallRecord>
    private let started = ContinuousClock.now
    private let release: @Sendable (RPCFailure?) -> Void

    init(
        sink: PartSink, method: String, requestID: String, requestBytes: Int,
        events: RPCEventSink, release: @escaping @Sendable (RPCFailure?) -> Void
    ) {
        self.sink = sink
        self.events = events
        self.release = release
        record = Mutex(
            RPCCallRecord(
                method: method, requestID: requestID, status: nil, duration: .zero,
                requestBytes: requestBytes, replyBytes: 0))
    }

    func part(_ frame: Frame) {
        record.withLock { $0.replyBytes += frame.body.readableBytes }
        sink.part(frame)
    }

    func end(_ ending: CallEnding) {
        let failure: RPCFailure? =
            switch ending {
            case .answered: nil
            case .failed(let failure): failure
            case .connectionLost, .notSent: .unavailable("The service went away")
            }
        release(failure)
        var record = record.withLock { $0 }
        record.status = failure?.status
        record.duration = .now - started
        events(.callMade(record))
        sink.end(failure)
    }
}
