/// What a request asks of a gateway. Plans for requests name it, so that none is made for a path
/// that nobody asks for.
public enum GatewayEndpoint: String, Sendable, Hashable, CaseIterable {
    /// `POST /sync/upload`: the device sends changes.
    case upload
    /// `GET /sync/download`: the device reads a page of its user's feed.
    case download
    /// `GET /sync/bootstrap`: the device asks where it stands.
    case bootstrap
    /// `GET /sync/capabilities`: the device asks what the gateway can do.
    case capabilities
    /// `GET /sync/watch`: the device opens a stream on which the gateway tells of news.
    case watch
    /// Whichever comes.
    case any

    /// Whether a request with this path is meant.
    func isMet(by path: String) -> Bool { self == .any || path.hasSuffix("/sync/" + rawValue) }
}
