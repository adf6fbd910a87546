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
        let lease = try await replica(for: context)
        do throws(RPCFailure) {
            var frame = try makeFrame(method.name, bytes, body, context)
            frame.header.partCredit = limits.streamCredit
            let call = StreamedCall(
                id: frame.header.callID, connection: lease.connection,
                grantSize: max(1, limits.streamCredit / 2))
            let (parts, continuation) = AsyncThrowingStream<Frame, any Error>.makeStream()
            continuation.onTermination = { [connection = lease.connection, id = call.id] reason in
                if case .cancelled = reason { connection.cancel(id) }
            }
            let receiver = PartReceiver(
                continuation: continuation, method: method.name, requestID: context.requestID,
                requestBytes: body.readableBytes, events: events
            ) { self.release(lease) }
            lease.connection.begin(frame, deadline: context.deadline, receiver: receiver)
            return RPCReplyStream(parts: parts, call: call)
        } catch {
            release(lease)
            throw error
        }
    }
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

/// Hands the frames of a stream to its reader, and counts them.
private final class PartReceiver: CallReceiver {
    private let continuation: AsyncThrowingStream<Frame, any Error>.Continuation
    private let events: RPCEventSink
    private let record: Mutex<RPCCallRecord>
    private let started = ContinuousClock.now
    private let release: @Sendable () -> Void

    init(
        continuation: AsyncThrowingStream<Frame, any Error>.Continuation, method: String,
        requestID: String, requestBytes: Int, events: RPCEventSink,
        release: @escaping @Sendable () -> Void
    ) {
        self.continuation = continuation
        self.events = events
        self.release = release
        record = Mutex(
            RPCCallRecord(
                method: method, requestID: requestID, status: nil, duration: .zero,
                requestBytes: requestBytes, replyBytes: 0))
    }

    func part(_ frame: Frame) {
        record.withLock { $0.replyBytes += frame.body.readableBytes }
        continuation.yield(frame)
    }

    func end(_ ending: CallEnding) {
        let failure: RPCFailure? =
            switch ending {
            case .answered: nil
            case .failed(let failure): failure
            case .connectionLost, .notSent: .unavailable("The service went away")
            }
        release()
        var record = record.withLock { $0 }
        record.status = failure?.status
        record.duration = .now - started
        events(.callMade(record))
        continuation.finish(throwing: failure)
    }
}
