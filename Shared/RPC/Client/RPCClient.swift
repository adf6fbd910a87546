import Glibc
import LogFields
import Logging
import NIOCore
import NIOPosix
import Protos
import ServiceLifecycle
import SwiftProtobuf
import Synchronization
import Traces

/// Calls the replicas of one service, whose sockets it finds in a directory.
///
/// A call goes to the replica with the fewest calls in flight, among those that say that they can
/// serve. When its connection dies under it, it is made once more elsewhere: every call is safe to
/// repeat. A call that a replica did not begin because it is stopping is repeated too. When there
/// is no replica it waits a little for one.
package final class RPCClient: Service {
    /// How often a call may be sent: once, and once more when the connection is lost.
    private static let maximumAttempts = 2

    /// The connections that calls from one event loop go by, one to each replica.
    struct Lane {
        var balancer: Balancer<ReplicaConnection>
        var waiters: [Int: CheckedContinuation<WaitOutcome, Never>] = [:]
    }

    /// The right to make one call, and where it is from.
    struct Lease {
        let lane: Int
        let base: Balancer<ReplicaConnection>.Lease

        var connection: ReplicaConnection { base.connection }
    }

    struct State {
        var lanes: [Lane]
        /// The lane of the next call that comes from no event loop.
        var turn = 0
        var lastCallID: UInt32 = 0
        /// Why the directory could not be read when it was last tried.
        var unreadable: SocketError?
        /// Replicas of a version that does not work with this one.
        var incompatible: [SocketFile: RPCHello] = [:]
        /// What each connected replica is, by its name.
        var servers: [String: RPCHello] = [:]
        var isStopped = false
    }

    enum WaitOutcome {
        case lease(Lease)
        case timedOut
        case refused
        case cancelled
    }

    let directory: SocketDirectory
    let limits: RPCLimits
    let hello: RPCHello
    let events: RPCEventSink
    let group: any EventLoopGroup
    /// The event loop of each lane; calls from there go by connections of the same loop, without a thread's change.
    let loops: [any EventLoop]
    let state: Mutex<State>
    let wakeUps: AsyncStream<Void>
    let wakeUp: AsyncStream<Void>.Continuation

    /// - Parameters:
    ///   - directory: the directory of the service, such as `$OVERSYNC_RUN/upload`. It may not
    ///     exist yet.
    ///   - service: its name in log lines.
    ///   - hello: what this program is; replicas that do not work with it are not used.
    ///   - observer: receives every event and call, for metrics.
    package init(
        directory: String, service: String, limits: RPCLimits = RPCLimits(),
        hello: RPCHello = RPCHello(), logger: Logger, observer: (any RPCObserver)? = nil,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) {
        var logger = logger
        logger[metadataKey: LogField.service.rawValue] = "\(service)"
        self.directory = SocketDirectory(path: directory)
        self.limits = limits
        self.hello = hello
        self.group = group
        events = RPCEventSink(logger: logger, observer: observer)
        loops = Array(group.makeIterator().prefix(limits.connectionsPerReplica))
        let lanes = loops.map { _ in Lane(balancer: Balancer(limits: limits)) }
        state = Mutex(State(lanes: lanes))
        (wakeUps, wakeUp) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    /// What keeps a client from finding replicas below this directory. One that is not there yet is no problem.
    package static func problem(directory: String) -> SocketError? {
        if access(directory, F_OK) != 0, errno == ENOENT { return nil }
        return SocketDirectory(path: directory).problem(mode: R_OK | X_OK)
    }

    /// Whether a live replica takes calls that said within the last second that it can serve them.
    package var isReady: Bool {
        let now = ContinuousClock.now
        // Calls of a lane whose connection is broken go by another's.
        return state.withLock { $0.lanes.contains { $0.balancer.isReady(now: now) } }
    }

    /// How the replicas are that are connected, by name; those of a wrong version among them.
    package var replicas: [(name: String, status: ServiceStatus)] {
        let now = ContinuousClock.now
        return state.withLock { state in
            let connected = state.statuses(now: now).map { ($0.key.replica, $0.value) }
            let refused = state.incompatible.map { socket, theirs in
                (
                    socket.replica,
                    ServiceStatus.notReady("is \(theirs), which does not work with \(hello)")
                )
            }
            return (connected + refused).sorted { $0.0 < $1.0 }
        }
    }

    /// What a replica says that it is; nil for one that is not connected.
    package func server(named replica: String) -> RPCHello? {
        state.withLock { $0.servers[replica] }
    }

    /// Calls that were made and not answered.
    package var callsInFlight: Int {
        state.withLock { $0.lanes.reduce(0) { $0 + $1.balancer.callsInFlight } }
    }

    /// Calls that wait for a replica.
    package var waitingCalls: Int {
        state.withLock { $0.lanes.reduce(0) { $0 + $1.balancer.waitingCalls } }
    }

    /// Makes a call and waits for its answer. Cancelling the task cancels the handler's.
    ///
    /// - Parameters:
    ///   - body: goes to the handler unread and without a copy.
    ///   - context: its deadline bounds everything, waiting and the second attempt included.
    /// - Throws: what the handler threw; `unavailable` when there is no replica; `tooLarge` when
    ///   the request does not fit a frame.
    package func call<Request, Reply>(
        _ method: RPCMethod<Request, Reply>, _ message: Request, body: ByteBuffer = ByteBuffer(),
        context: CallContext
    ) async throws(RPCFailure) -> RPCReply<Reply> {
        let started = ContinuousClock.now
        let span = Traces.call(method.name)
        let context = context.within(span)
        var record = RPCCallRecord(
            method: method.name, requestID: context.requestID, status: nil, duration: .zero,
            requestBytes: body.readableBytes, replyBytes: 0)
        defer {
            record.duration = .now - started
            events(.callMade(record))
            span?.end()
        }
        do throws(RPCFailure) {
            let (bytes, replyBody) = try await perform(method.name, message, body, context)
            record.replyBytes = replyBody.readableBytes
            guard let reply = try? Reply(frameBytes: bytes) else { throw .internal }
            return RPCReply(reply, body: replyBody)
        } catch {
            record.status = error.status
            span?.fail(error)
            throw error
        }
    }

    private func perform(
        _ method: String, _ message: some SwiftProtobuf.Message, _ body: ByteBuffer,
        _ context: CallContext
    ) async throws(RPCFailure) -> (message: ByteBuffer, body: ByteBuffer) {
        guard let bytes = try? message.encodedForFrame() else { throw .internal }
        var attempts = 0
        var lost: Lease?
        while true {
            let lease = try await replica(for: context, after: lost)
            defer { release(lease) }
            let frame = try makeFrame(method, bytes, body, context)
            switch await lease.connection.perform(frame, deadline: context.deadline) {
            case .answered(let message, let body): return (message, body)
            case .failed(let failure) where failure.code == RPCFailure.draining.code:
                // Not begun there: as if it had never been sent. Each turn leaves one connection out, so they end.
                leave(lease)
                events(.callRetried(method: method, requestID: context.requestID))
            case .failed(let failure): throw failure
            case .notSent: continue
            case .connectionLost:
                attempts += 1
                lost = lease
                guard attempts < Self.maximumAttempts else {
                    throw .unavailable("The service went away twice")
                }
                events(.callRetried(method: method, requestID: context.requestID))
            }
        }
    }

    /// - Throws: `deadlineExceeded` when there is no time left.
    func makeFrame(
        _ method: String, _ message: ByteBuffer, _ body: ByteBuffer, _ context: CallContext
    ) throws(RPCFailure) -> Frame {
        let now = ContinuousClock.now
        guard context.deadline > now else { throw .deadlineExceeded }
        var header = context.header(method: method, now: now)
        header.callID = state.withLock { state in
            state.lastCallID &+= 1
            return state.lastCallID
        }
        return Frame(header: header, message: message, body: body)
    }
}
