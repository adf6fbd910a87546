import Foundation
import OverSQLite
import Synchronization

/// Goes wrong when told to: a transport around another, for tests of how an app behaves on bad networks.
///
/// ```swift
/// let network = FaultyTransport(InMemoryGateway())
/// configuration.transport = network
/// network.next("upload", .dropAnswer)
/// ```
public final class FaultyTransport: HTTPTransport {
    /// What happens to a request.
    public enum Fault: Sendable {
        /// The connection breaks before the request arrives.
        case dropRequest
        /// The request arrives and is served; the connection breaks before its answer does.
        case dropAnswer
        /// The request goes out once `until` returns; what it throws breaks the connection.
        case delay(until: @Sendable () async throws -> Void)
        /// Of the answer's body only so many bytes arrive.
        case truncate(Int)
        /// The answer's body arrives as `change` makes it.
        case garble(_ change: @Sendable ([UInt8]) -> [UInt8])
        /// Something on the way answers instead, and the request does not arrive: a proxy, a captive portal.
        case answer(TransportResponse)

        /// An answer with a status and a text, such as a captive portal's page.
        public static func status(
            _ status: Int, _ text: String = "", contentType: String = "text/html"
        ) -> Fault {
            .answer(
                TransportResponse(
                    status: status, headers: ["content-type": contentType], body: Array(text.utf8)))
        }
    }

    /// An error as a broken connection gives it.
    public struct ConnectionLost: Error {
        public init() {}
    }

    private struct State {
        var next: [(path: String, fault: Fault)] = []
        var always: [(path: String, fault: Fault)] = []
        var count = 0
    }

    private let base: any HTTPTransport
    private let state = Mutex(State())

    /// - Parameter base: where requests go that nothing happens to.
    public init(_ base: any HTTPTransport) { self.base = base }

    /// The next request whose path ends so meets the fault; an empty path means any. Faults of one path are met in
    /// order.
    public func next(_ path: String = "", _ fault: Fault) {
        state.withLock { $0.next.append((path, fault)) }
    }

    /// Every request whose path ends so meets the fault, until `clear()`; an empty path means any.
    public func always(_ path: String = "", _ fault: Fault) {
        state.withLock { $0.always.append((path, fault)) }
    }

    /// The network is good again.
    public func clear() {
        state.withLock { state in
            state.next = []
            state.always = []
        }
    }

    /// How many requests there were.
    public var requestCount: Int { state.withLock { $0.count } }

    public func send(_ request: TransportRequest) async throws -> TransportResponse {
        let path = request.url.path
        let fault = state.withLock { state -> Fault? in
            state.count += 1
            if let index = state.next.firstIndex(where: { path.hasSuffix($0.path) }) {
                return state.next.remove(at: index).fault
            }
            return state.always.first { path.hasSuffix($0.path) }?.fault
        }
        switch fault {
        case nil: return try await base.send(request)
        case .dropRequest?: throw ConnectionLost()
        case .dropAnswer?:
            _ = try await base.send(request)
            throw ConnectionLost()
        case .delay(let until)?:
            try await until()
            return try await base.send(request)
        case .truncate(let count)?:
            var response = try await base.send(request)
            response.body = Array(response.body.prefix(count))
            return response
        case .garble(let change)?:
            var response = try await base.send(request)
            response.body = change(response.body)
            return response
        case .answer(let response)?: return response
        }
    }
}
