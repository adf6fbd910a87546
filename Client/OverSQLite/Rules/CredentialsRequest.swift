/// What the engine asks the app's `credentials` for.
public struct CredentialsRequest: Sendable, Hashable {
    /// The token that the server has just rejected; nil if none was. Return another one: the engine
    /// asks once per request, and then the status shows `SyncError.unauthorized`.
    public let rejectedToken: String?
    /// Why the server rejected it, in its words; nil if it rejected none.
    public let reason: String?

    /// A request for any good token.
    static let first = CredentialsRequest(rejectedToken: nil, reason: nil)
}
