import Foundation
import OverSQLite
import Synchronization

/// A transport that wraps another one and fails when told to. Use it to test how an app behaves on
/// bad networks.
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

    /// Makes a transport without faults.
    ///
    /// - Parameter base: the transport that carries requests without a fault.
    public init(_ base: any HTTPTransport) { self.base = base }

    /// Plans a fault for the next request to an endpoint. Several faults for one endpoint apply to
    /// one request each, in order.
    public func next(_ endpoint: GatewayEndpoint, _ fault: NetworkFault) {
        state.withLock { $0.plan.next(endpoint, fault) }
    }

    /// Plans a fault for every request to an endpoint, until ``clearFaults()``. Faults planned with
    /// ``next(_:_:)`` come first.
    public func always(_ endpoint: GatewayEndpoint, _ fault: NetworkFault) {
        state.withLock { $0.plan.always(endpoint, fault) }
    }

    /// Removes all planned faults.
    public func clearFaults() { state.withLock { $0.plan.clear() } }

    /// The number of requests so far, including streams.
    public var requestCount: Int { state.withLock { $0.count } }

    /// One line for each planned fault that no request has met, here and in the wrapped transport.
    public var unusedPlans: [String] {
        let within = (base as? any TestTransport)?.unusedPlans ?? []
        return state.withLock { $0.plan.unused } + within
    }

    /// Sends a request, or applies the fault planned for it.
    ///
    /// - Throws: ``ConnectionLost``, or what the wrapped transport or a fault's closure throws.
    public func send(_ request: TransportRequest) async throws -> TransportResponse {
        guard let fault = fault(for: request) else { return try await base.send(request) }
        return try await fault.meet { try await base.send(request) }
    }

    /// Whether the wrapped transport can stream.
    public var canStream: Bool { base.canStream }

    /// Opens a stream, or applies the fault planned for it. A lost answer delivers nothing. A fault
    /// that cuts or alters the answer applies to each part of the body; one that holds the answer
    /// holds its head.
    ///
    /// - Throws: ``ConnectionLost``, or what the wrapped transport, `receive` or a fault's closure
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
    /// The part of a streamed answer as it arrives with the fault.
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
