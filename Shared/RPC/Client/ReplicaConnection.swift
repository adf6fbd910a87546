import NIOCore
import Protos

/// A live connection to a replica, usable from any task.
struct ReplicaConnection: Sendable {
    let handler: NIOLoopBound<RPCClientHandler>

    /// Makes a call with a single answer. Cancelling the task cancels the call on the server.
    func perform(_ frame: Frame, deadline: ContinuousClock.Instant) async -> CallEnding {
        let cancelled = CancelFlag()
        let id = frame.header.callID
        return await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                handler.eventLoop.execute {
                    guard !cancelled.isSet else {
                        return continuation.resume(returning: .failed(.cancelled))
                    }
                    handler.value.begin(
                        frame, deadline: deadline, receiver: SingleAnswer(continuation))
                }
            }
        } onCancel: {
            cancelled.set()
            handler.eventLoop.execute { handler.value.cancel(id) }
        }
    }

    /// Starts a call with a streamed answer.
    func begin(_ frame: Frame, deadline: ContinuousClock.Instant, receiver: any CallReceiver) {
        handler.eventLoop.execute {
            handler.value.begin(frame, deadline: deadline, receiver: receiver)
        }
    }

    func cancel(_ id: UInt32) {
        handler.eventLoop.execute { handler.value.cancel(id) }
    }

    func grant(_ id: UInt32, parts: UInt32) {
        handler.eventLoop.execute { handler.value.grant(id, parts: parts) }
    }

    /// Ends the connection once the calls in flight are over.
    func close() {
        handler.eventLoop.execute { handler.value.close(reason: "client stopped") }
    }
}

/// Resumes the task that awaits the one answer of a call.
private struct SingleAnswer: CallReceiver {
    private let continuation: CheckedContinuation<CallEnding, Never>

    init(_ continuation: CheckedContinuation<CallEnding, Never>) {
        self.continuation = continuation
    }

    func part(_ frame: Frame) {}  // The method does not stream: the END decides.

    func end(_ ending: CallEnding) {
        continuation.resume(returning: ending)
    }
}
