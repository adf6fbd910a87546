import NIOCore

/// Sends the parts of one streamed answer, in bytes.
struct PartWriter: Sendable {
    let call: UInt32
    let connection: NIOLoopBound<RPCServerHandler>

    /// Returns when the part is on its way.
    func write(_ message: ByteBuffer, body: ByteBuffer) async throws(RPCFailure) {
        let cancelled = CancelFlag()
        let result: Result<Void, RPCFailure> = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                connection.eventLoop.execute {
                    guard !cancelled.isSet else {
                        return continuation.resume(returning: .failure(.cancelled))
                    }
                    connection.value.writePart(
                        PendingPart(message: message, body: body, continuation: continuation),
                        of: call)
                }
            }
        } onCancel: {
            cancelled.set()
            connection.eventLoop.execute { connection.value.abandonPart(of: call) }
        }
        try result.get()
    }
}

/// A part that waits for credit or for room in the socket.
struct PendingPart {
    let message: ByteBuffer
    let body: ByteBuffer
    let continuation: CheckedContinuation<Result<Void, RPCFailure>, Never>
}
