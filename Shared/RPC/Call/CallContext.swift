import Protos
import Traces

/// On whose behalf a call is made. The gateway has checked the token; a service trusts its socket.
package struct CallerIdentity: Hashable, Sendable {
    /// The token's `sub`.
    package var user: String
    /// The token's `did`.
    package var device: String
    /// What the token says its bearer is, such as `admin`. Tables may be open to some roles only.
    package var roles: [String]
    /// The token's `iss`, for the audit; empty where it has none.
    package var issuer: String
    /// The kinds of keys that the client asks for, of those that older clients do not know.
    package var keyKinds: [String]

    package init(
        user: String, device: String, roles: [String] = [], issuer: String = "",
        keyKinds: [String] = []
    ) {
        self.user = user
        self.device = device
        self.roles = roles
        self.issuer = issuer
        self.keyKinds = keyKinds
    }
}

/// What travels with every call in addition to its message.
package struct CallContext: Hashable, Sendable {
    /// The same from the edge to the SQL comment, so that one search finds every line.
    package var requestID: String
    /// The caller's place in a trace, if the request has one.
    package var trace: TraceContext?
    /// After it nobody waits for the answer: the handler's task is cancelled.
    package var deadline: ContinuousClock.Instant
    /// Absent for calls that no user makes, such as fetching keys.
    package var caller: CallerIdentity?
    /// Where the client behind the gateway is, for methods that record it.
    package var clientAddress: String?

    package init(
        requestID: String, trace: TraceContext? = nil, deadline: ContinuousClock.Instant,
        caller: CallerIdentity? = nil, clientAddress: String? = nil
    ) {
        self.requestID = requestID
        self.trace = trace
        self.deadline = deadline
        self.caller = caller
        self.clientAddress = clientAddress
    }
}

extension CallContext {
    /// - Parameter now: the deadline travels as what is left of it; this end counts from now.
    init(header: WireFrameHeader, now: ContinuousClock.Instant) {
        self.init(
            requestID: header.requestID,
            trace: TraceContext(header),
            deadline: now + .milliseconds(Int64(header.deadlineMilliseconds)),
            caller: header.hasCaller
                ? CallerIdentity(
                    user: header.caller.user, device: header.caller.device,
                    roles: header.caller.roles, issuer: header.caller.issuer,
                    keyKinds: header.caller.keyKinds) : nil,
            clientAddress: header.clientAddress.isEmpty ? nil : header.clientAddress)
    }

    /// - Precondition: the deadline lies after `now`.
    func header(method: String, now: ContinuousClock.Instant) -> WireFrameHeader {
        var header = WireFrameHeader()
        header.kind = .call
        header.method = method
        header.deadlineMilliseconds = UInt32(clamping: (deadline - now).milliseconds)
        header.requestID = requestID
        if let trace {
            header.traceparent = trace.traceparent
            if let state = trace.state { header.tracestate = state }
        }
        if let caller {
            header.caller.user = caller.user
            header.caller.device = caller.device
            header.caller.roles = caller.roles
            header.caller.issuer = caller.issuer
            header.caller.keyKinds = caller.keyKinds
        }
        if let clientAddress { header.clientAddress = clientAddress }
        return header
    }
}

extension TraceContext {
    /// Nil also for one that is not written as the standard says.
    fileprivate init?(_ header: WireFrameHeader) {
        guard !header.traceparent.isEmpty else { return nil }
        self.init(
            traceparent: header.traceparent,
            tracestate: header.tracestate.isEmpty ? nil : header.tracestate)
    }
}
