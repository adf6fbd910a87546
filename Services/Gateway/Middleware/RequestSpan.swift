import HTTPTypes
import Traces

extension RequestScope {
    /// Begins the request's span, if it is sampled. Its calls are below it, to the head of its
    /// answer; probes and paths that the gateway does not know have none.
    ///
    /// A client's trace that this gateway does not sample goes on without spans.
    mutating func beginSpan(of method: HTTPRequest.Method, _ route: Route?) -> LiveSpan? {
        guard Traces.areCollected, let route, !route.isProbe else { return nil }
        guard let span = Traces.begin("\(route.method.rawValue) \(route.path)", from: trace) else {
            trace?.isSampled = false
            return nil
        }
        trace = span.trace
        // The route's own words, and no part of the request.
        span.set("http.request.method", method == .head ? "HEAD" : route.method.rawValue)
        span.set("http.route", route.path)
        span.set("url.scheme", "https")
        return span
    }
}

extension LiveSpan {
    /// Ends a request's span. What a client does wrong is no fault of the server.
    func end(with status: HTTPResponse.Status) {
        set("http.response.status_code", status.code)
        if status.code >= 400 { fail("\(status.code)", isFault: status.kind == .serverError) }
        end()
    }
}
