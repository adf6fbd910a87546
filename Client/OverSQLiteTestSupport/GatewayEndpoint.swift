/// The endpoints of a gateway, to plan faults for.
public enum GatewayEndpoint: String, Sendable, Hashable, CaseIterable {
    /// `POST /sync/upload`: the device sends changes.
    case upload
    /// `GET /sync/download`: the device downloads a page of its user's log.
    case download
    /// `GET /sync/bootstrap`: the device asks what the server knows about it.
    case bootstrap
    /// `GET /sync/capabilities`: the device asks what the gateway can do.
    case capabilities
    /// `GET /sync/digest`: the device compares its rows with the server's.
    case digest
    /// `POST /sync/rows`: the device fetches rows that differ.
    case rows
    /// `POST /sync/keys`: the device leases numbers for rows that it creates.
    case keys
    /// `GET /sync/watch`: the device opens a stream on which the gateway announces new changes.
    case watch
    /// Any endpoint.
    case any

    /// Whether a request to this path goes to this endpoint.
    func isMet(by path: String) -> Bool { self == .any || path.hasSuffix("/sync/" + rawValue) }
}
