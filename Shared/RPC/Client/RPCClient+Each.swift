import NIOCore
import SwiftProtobuf
import Synchronization
import Traces

/// Calls to every replica at once.
extension RPCClient {
    /// Makes a call to every live replica at once, and waits for all of them or the deadline.
    /// Nothing is repeated: who is not reached must find out by itself. A replica that does not
    /// answer pings is left out while another does.
    ///
    /// - Returns: how many replicas there were, and how many of them answered. One that was left
    ///   out counts as one that did not answer.
    @discardableResult
    package func broadcast<Request, Reply>(
        _ method: RPCMethod<Request, Reply>, _ message: Request, context: CallContext
    ) async -> (called: Int, answered: Int) {
        let (replicas, endings) = await askEach(method.name, message, context)
        let answered = endings.count { ending in
            if case .answered = ending.ending { true } else { false }
        }
        return (replicas, answered)
    }

    /// Makes a call to the same replicas, for what each of them answers.
    ///
    /// - Returns: by the name of the replica, in the order of names; without those that were left
    ///   out.
    package func callEach<Request, Reply>(
        _ method: RPCMethod<Request, Reply>, _ message: Request, context: CallContext
    ) async -> [(replica: String, outcome: Result<RPCReply<Reply>, RPCFailure>)] {
        await askEach(method.name, message, context).endings
            .map { replica, ending in (replica, ending.outcome()) }
            .sorted { $0.replica < $1.replica }
    }

    private func askEach(
        _ method: String, _ message: some SwiftProtobuf.Message, _ context: CallContext
    ) async -> (replicas: Int, endings: [(replica: String, ending: CallEnding)]) {
        let span = Traces.call(method)
        defer { span?.end() }
        let context = context.within(span)
        let now = ContinuousClock.now
        let (leases, replicas) = state.withLock { $0.leaseEach(now: now) }
        guard !leases.isEmpty, let bytes = try? message.encodedForFrame() else {
            for lease in leases { release(lease) }
            return (replicas, [])
        }
        let endings = await withTaskGroup(of: (String, CallEnding).self) { group in
            for lease in leases {
                group.addTask {
                    defer { self.release(lease) }
                    let replica = lease.base.socket.replica
                    guard let frame = try? self.makeFrame(method, bytes, ByteBuffer(), context)
                    else { return (replica, .notSent) }
                    return (
                        replica,
                        await lease.connection.perform(frame, deadline: context.deadline)
                    )
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        return (replicas, endings)
    }
}

extension CallEnding {
    fileprivate func outcome<Reply>() -> Result<RPCReply<Reply>, RPCFailure> {
        switch self {
        case .answered(let message, let body):
            guard let reply = try? Reply(frameBytes: message) else { return .failure(.internal) }
            return .success(RPCReply(reply, body: body))
        case .failed(let failure): return .failure(failure)
        case .connectionLost, .notSent: return .failure(.unavailable("The service went away"))
        }
    }
}
