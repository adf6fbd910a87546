import OverSQLite

/// What goes wrong with a request. `FaultyTransport` and `InMemoryGateway` know the same faults.
public enum NetworkFault: Sendable {
    /// The connection breaks before the request arrives: the gateway never learns of it.
    case loseRequest
    /// The gateway serves the request, and the connection breaks before the answer arrives: the
    /// device does not know what became of its request.
    case loseAnswer
    /// The request waits on its way until `until` returns. If that throws, the request is lost.
    case holdRequest(until: @Sendable () async throws -> Void)
    /// The gateway serves the request, and the answer waits on its way until `until` returns. If
    /// that throws, the answer is lost.
    case holdAnswer(until: @Sendable () async throws -> Void)
    /// Of the answer's body only the first so many bytes arrive.
    case cutAnswer(bytes: Int)
    /// The answer's body arrives as the closure makes it.
    case alterAnswer(@Sendable ([UInt8]) -> [UInt8])
    /// The request does not arrive: something on the way answers in the gateway's place.
    case answerInstead(TransportResponse)

    /// The request does not arrive: it is answered with a status and a text, as by a proxy or an
    /// overloaded server.
    ///
    /// - Parameters:
    ///   - status: the HTTP status.
    ///   - text: the body.
    ///   - headers: by lower-case name, such as `retry-after`.
    public static func answerInstead(
        status: Int, _ text: String = "", headers: [String: String] = [:]
    ) -> NetworkFault {
        .answerInstead(
            TransportResponse(status: status, headers: headers, body: Array(text.utf8)))
    }

    /// The request does not arrive: a captive portal, as of an airport's network, answers with
    /// status 200 and a page to sign in.
    public static var captivePortal: NetworkFault {
        .answerInstead(
            status: 200, "<!DOCTYPE html><html><body>Accept the terms to go on.</body></html>",
            headers: ["content-type": "text/html; charset=utf-8"])
    }
}

/// The error of a broken connection, as a transport throws it. The engine makes
/// `SyncError.unreachable` of it.
public struct ConnectionLost: Error, Sendable, Hashable {
    /// Makes the error, which holds nothing.
    public init() {}
}

extension NetworkFault {
    /// The answer that arrives.
    ///
    /// - Parameter serve: what happens to the request where nothing goes wrong.
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
