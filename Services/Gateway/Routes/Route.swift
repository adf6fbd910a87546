import HTTPTypes
import Hummingbird

/// A method and a path, and what answers it.
struct Route: Sendable {
    let method: HTTPRequest.Method
    let path: String
    let access: Access
    /// Asks for the gateway's own state: answered also while it goes down.
    let isProbe: Bool
    /// What it does is recorded with the client's address.
    let knowsAddress: Bool
    let answer: @Sendable (Request, RequestScope) async throws -> Response

    /// Who gets in.
    enum Access: Hashable, Sendable {
        case open
        /// Bearers of a good token.
        case users
        /// Bearers of a good token with the administrators' role.
        case administrators
    }

    init(
        _ method: HTTPRequest.Method, _ path: String, for access: Access = .open,
        isProbe: Bool = false, knowsAddress: Bool = false,
        answer: @escaping @Sendable (Request, RequestScope) async throws -> Response
    ) {
        self.method = method
        self.path = path
        self.access = access
        self.isProbe = isProbe
        self.knowsAddress = knowsAddress || access == .administrators
        self.answer = answer
    }
}

/// Finds a request's route.
struct RouteTable: Sendable {
    /// By path.
    let routes: [String: [Route]]

    init(_ routes: [Route]) {
        self.routes = Dictionary(grouping: routes, by: \.path)
    }

    /// - Throws: `WireError` 404, or 405 with the methods that the path knows.
    func route(_ method: HTTPRequest.Method, _ path: String) throws(WireError) -> Route {
        guard let candidates = routes[path] else { throw .notFound }
        // A HEAD is a GET whose body nobody sends.
        let wanted = method == .head ? .get : method
        if let route = candidates.first(where: { $0.method == wanted }) { return route }
        let allowed = candidates.map(\.method.rawValue).joined(separator: ", ")
        throw WireError(
            status: .methodNotAllowed, code: "method_not_allowed",
            message: "Only \(allowed) method is allowed", allow: allowed)
    }
}
