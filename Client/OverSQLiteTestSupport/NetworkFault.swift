import OverSQLite

/// What goes wrong with a request. `FaultyTransport` and `InMemoryGateway` support the same faults.
public enum NetworkFault: Sendable {
    /// The connection breaks before the request arrives. The gateway never sees it.
    case loseRequest
    /// The gateway serves the request, and the connection breaks before the answer arrives. The
    /// device does not know whether its request took effect.
    case loseAnswer
    /// The request is delayed until `until` returns. If `until` throws, the request is lost.
    case holdRequest(until: @Sendable () async throws -> Void)
    /// The gateway serves the request, and the answer is delayed until `until` returns. If `until`
    /// throws, the answer is lost.
    case holdAnswer(until: @Sendable () async throws -> Void)
    /// Only the first bytes of the answer's body arrive.
    case cutAnswer(bytes: Int)
    /// The closure replaces the answer's body.
    case alterAnswer(@Sendable ([UInt8]) -> [UInt8])
    /// The request does not arrive: something else answers in the gateway's place.
    case answerInstead(TransportResponse)

    /// The request does not arrive: a proxy or an overloaded server answers with a status and a
    /// text.
    ///
    /// - Parameters:
    ///   - status: the HTTP status.
    ///   - text: the body.
    ///   - headers: header values by lower-case name, such as `retry-after`.
    public static func answerInstead(
        status: Int, _ text: String = "", headers: [String: String] = [:]
    ) -> NetworkFault {
        .answerInstead(
            TransportResponse(status: status, headers: headers, body: Array(text.utf8)))
    }

    /// The request does not arrive: a captive portal, such as an airport's, answers with status 200
    /// and a sign-in page.
    public static var captivePortal: NetworkFault {
        .answerInstead(
            status: 200, "<!DOCTYPE html><html><body>Accept the terms to go on.</body></html>",
            headers: ["content-type": "text/html; charset=utf-8"])
    }
}

/// The error of a broken connection, as a transport throws it. The engine reports it as
/// `SyncError.unreachable`.
public struct ConnectionLost: Error, Sendable, Hashable {
    /// Makes the error.
    public init() {}
}

extension NetworkFault {
    /// Applies the fault and returns the answer that arrives.
    ///
    /// - Parameter serve: serves the request as if nothing went wrong.
    func meet(
        _ serve: () async throws -> TransportResponse
    ) async throws -> TransportResponse {
        switch self {
        case .loseRequest: throw ConnectionLost()
        case .loseAnswer:
            _ = try await serve()
            throw ConnectionLost()
        case .holdRequest(let until):
            try await until()
            return try await serve()
        case .holdAnswer(let until):
            let response = try await serve()
            try await until()
            return response
        case .cutAnswer(let count): return try await Self.altered(serve()) { $0.prefix(count) }
        case .alterAnswer(let change): return try await Self.altered(serve(), change)
        case .answerInstead(let response): return response
        }
    }

    private static func altered(
        _ response: TransportResponse, _ change: ([UInt8]) -> some Collection<UInt8>
    ) -> TransportResponse {
        var response = response
        response.body = Array(change(response.body))
        return response
    }

    /// The case's name, for reports.
    var name: String {
        switch self {
        case .loseRequest: "loseRequest"
        case .loseAnswer: "loseAnswer"
        case .holdRequest: "holdRequest"
        case .holdAnswer: "holdAnswer"
        case .cutAnswer: "cutAnswer"
        case .alterAnswer: "alterAnswer"
        case .answerInstead(let response): "answerInstead(status: \(response.status))"
        }
    }
}
