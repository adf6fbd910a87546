import Foundation
import OverSQLite
import Synchronization

/// Goes wrong when told to: a transport around another, for tests of how an app behaves on bad
/// networks.
///
/// ```swift
/// let network = FaultyTransport(InMemoryGateway())
/// network.next(.upload, .loseAnswer)
/// network.always(.any, .captivePortal)
/// ```
public final class FaultyTransport: TestTransport {
    private struct State {
        var plan = FaultPlan()
        var count = 0
    }

    private let base: any HTTPTransport
    private let state = Mutex(State())

    /// A transport on which nothing goes wrong yet.
    ///
    /// - Parameter base: where requests go that nothing happens to.
    public init(_ base: any HTTPTransport) { self.base = base }

    /// Plans a fault for the next request to an endpoint. Faults of one endpoint are met in order,
    /// each once.
    public func next(_ endpoint: GatewayEndpoint, _ fault: NetworkFault) {
        state.withLock { $0.plan.next(endpoint, fault) }
    }

    /// Plans a fault for every request to an endpoint, until ``clearFaults()``. What ``next(_:_:)``
    /// planned comes first.
    public func always(_ endpoint: GatewayEndpoint, _ fault: NetworkFault) {
        state.withLock { $0.plan.always(endpoint, fault) }
    }

    /// Forgets all plans: the network is good again.
    public func clearFaults() { state.withLock { $0.plan.clear() } }

    /// How many requests there were, streams among them.
    public var requestCount: Int { state.withLock { $0.count } }

    /// A line for each fault that no request has met, and those of the transport within.
    public var unusedPlans: [String] {
        let within = (base as? any TestTransport)?.unusedPlans ?? []
        return state.withLock { $0.plan.unused } + within
    }

    /// Sends a request, unless a fault is planned for it.
    ///
    /// - Throws: ``ConnectionLost``, or what the transport within or a fault's closure throws.
    public func send(_ request: TransportRequest) async throws -> TransportResponse {
        guard let fault = fault(for: request) else { return try await base.send(request) }
        return try await fault.meet { try await base.send(request) }
    }

    /// Whether the transport within can.
    public var canStream: Bool { base.canStream }

    /// Opens a stream, unless a fault is planned for it. Of an answer that is lost nothing arrives;
    /// a fault that cuts or alters the answer does so to each part of its body; one that holds the
    /// answer holds its head.
    ///
    /// - Throws: ``ConnectionLost``, or what the transport within, `receive` or a fault's closure
    ///   throws.
    public func stream(
        _ request: TransportRequest,
        _ receive: @escaping @Sendable (TransportPart) async throws -> Void
    ) async throws {
        switch fault(for: request) {
        case .answerInstead(let response)?:
            var head = response
            head.body = []
            try await receive(.head(head))
            try await receive(.bytes(response.body))
        case .loseRequest?: throw ConnectionLost()
        case .holdRequest(let until)?:
            try await until()
            try await base.stream(request, receive)
        case let fault:
            try await base.stream(request) { part in
                try await receive(fault?.meet(part) ?? part)
            }
        }
    }

    private func fault(for request: TransportRequest) -> NetworkFault? {
        state.withLock { state in
            state.count += 1
            return state.plan.fault(at: request.url.path)
        }
    }
}

extension NetworkFault {
    /// What arrives of a part of a streamed answer.
    fileprivate func meet(_ part: TransportPart) async throws -> TransportPart {
        switch part {
        case .head(let head):
            if case .loseAnswer = self { throw ConnectionLost() }
            if case .holdAnswer(let until) = self { try await until() }
            return .head(head)
        case .bytes(let bytes):
            if case .cutAnswer(let count) = self { return .bytes(Array(bytes.prefix(count))) }
            if case .alterAnswer(let change) = self { return .bytes(change(bytes)) }
            return part
        }
    }
}
