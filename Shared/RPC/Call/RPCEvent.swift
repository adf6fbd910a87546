import LogFields
import Logging

/// How a call went, as seen by one end.
package struct RPCCallRecord: Hashable, Sendable {
    package var method: String
    package var requestID: String
    /// Absent when the call succeeded.
    package var status: RPCStatus?
    package var duration: Duration
    /// Bytes of the request's body.
    package var requestBytes: Int
    /// Bytes of the answer's body; of all parts for a stream.
    package var replyBytes: Int
}

/// What happens in the RPC layer that somebody may want to count or read.
package enum RPCEvent: Sendable {
    case listening(path: String)
    case abandonedSocketRemoved(path: String)
    case connectionAccepted
    case connectionEnded
    case peerRefused(user: UInt32)
    /// A peer that may call other methods has called this one.
    case callRefused(user: UInt32, method: String)
    case protocolViolation(String)
    case draining(callsInFlight: Int)
    case drainTimedOut(callsInFlight: Int)
    /// A handler threw something that is no `RPCFailure`: the caller gets `internal`.
    case handlerFailed(method: String, requestID: String, error: any Error)
    case callHandled(RPCCallRecord)

    case replicaConnected(name: String)
    case replicaLost(name: String, reason: String)
    case replicaDraining(name: String)
    /// A connected replica told that its status has changed.
    case replicaStatus(name: String, ServiceStatus)
    /// A replica answers that does not work with this program, and is not used.
    case replicaIncompatible(name: String, ours: RPCHello, theirs: RPCHello)
    /// A replica that was draining has answered its last call.
    case replicaLeft(name: String)
    case connectFailed(name: String, reason: String)
    case directoryUnreadable(path: String, reason: String)
    case callRetried(method: String, requestID: String)
    case callMade(RPCCallRecord)
}

/// Receives events, to make metrics of them. Called on whatever thread the event happens:
/// implementations return quickly.
package protocol RPCObserver: Sendable {
    func observe(_ event: RPCEvent)
}

/// Logs events and passes them on. The only place of this module with log messages.
struct RPCEventSink: Sendable {
    let logger: Logger
    let observer: (any RPCObserver)?

    func callAsFunction(_ event: RPCEvent) {
        log(event)
        observer?.observe(event)
    }

    private func log(_ event: RPCEvent) {
        switch event {
        case .listening(let path):
            logger.info("rpc listening", metadata: .fields([.path: "\(path)"]))
        case .abandonedSocketRemoved(let path):
            logger.info(
                "rpc socket of a dead replica removed", metadata: .fields([.path: "\(path)"]))
        case .connectionAccepted:
            logger.debug("rpc connection accepted")
        case .connectionEnded:
            logger.debug("rpc connection ended")
        case .peerRefused(let user):
            logger.error(
                "rpc peer refused: not an allowed user", metadata: .fields([.peerUser: "\(user)"]))
        case .callRefused(let user, let method):
            logger.error(
                "rpc call refused: the user may not call this method",
                metadata: .fields([.peerUser: "\(user)", .method: "\(method)"]))
        case .protocolViolation(let what):
            logger.error("rpc connection closed: \(what)")
        case .draining(let calls):
            logger.info("rpc draining", metadata: .fields([.callsInFlight: "\(calls)"]))
        case .drainTimedOut(let calls):
            logger.warning("rpc drain timed out", metadata: .fields([.callsInFlight: "\(calls)"]))
        case .handlerFailed(let method, let requestID, let error):
            logger.error(
                "rpc handler failed",
                metadata: .fields([
                    .method: "\(method)", .requestID: "\(requestID)", .error: "\(error)",
                ]))
        case .callHandled, .callMade:
            break  // A line per request is its service's to write, with what it knows of it.
        case .replicaConnected(let name):
            logger.info("rpc replica connected", metadata: .fields([.replica: "\(name)"]))
        case .replicaLost(let name, let reason):
            logger.warning(
                "rpc replica lost", metadata: .fields([.replica: "\(name)", .reason: "\(reason)"]))
        case .replicaDraining(let name):
            logger.info("rpc replica draining", metadata: .fields([.replica: "\(name)"]))
        case .replicaStatus(let name, let status):
            logger.log(
                level: status.canServe ? .info : .warning,
                "rpc replica is \(status.state.rawValue)",
                metadata: .fields([
                    .replica: "\(name)", .problems: .array(status.problems.map { "\($0)" }),
                ]))
        case .replicaIncompatible(let name, let ours, let theirs):
            logger.error(
                "rpc replica refused: it is \(theirs), which does not work with this program, \(ours)",
                metadata: .fields([.replica: "\(name)"]))
        case .replicaLeft(let name):
            logger.info("rpc replica left", metadata: .fields([.replica: "\(name)"]))
        case .connectFailed(let name, let reason):
            logger.debug(
                "rpc connect failed",
                metadata: .fields([.replica: "\(name)", .reason: "\(reason)"]))
        case .directoryUnreadable(let path, let reason):
            logger.warning(
                "rpc directory unreadable",
                metadata: .fields([.path: "\(path)", .reason: "\(reason)"]))
        case .callRetried(let method, let requestID):
            logger.info(
                "rpc call retried elsewhere",
                metadata: .fields([.method: "\(method)", .requestID: "\(requestID)"]))
        }
    }
}
