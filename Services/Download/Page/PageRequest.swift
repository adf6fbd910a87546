import Model
import Protos

/// What a caller asked for, checked by the gateway and bounded here once more.
struct PageRequest: Sendable {
    let user: UserID
    let device: DeviceID
    let after: Sequence64
    /// Nil: the window ends at the user's last sequence, as read now.
    let until: Sequence64?
    let limit: Int
    let schema: String?
    let includesOwn: Bool
    let wait: Duration

    init(_ request: PullChangesRequest, user: UserID, device: DeviceID, limits: WireLimits) {
        self.user = user
        self.device = device
        after = max(0, request.after)
        until = request.until > 0 ? request.until : nil
        let asked = request.limit > 0 ? Int(request.limit) : WireLimits.defaultRowsPerPage
        limit = min(asked, limits.rowsPerPage)
        schema = request.schema.isEmpty ? nil : request.schema
        includesOwn = request.includeSelf
        wait = .seconds(min(Int(request.waitSeconds), WireLimits.maximumWaitSeconds))
    }
}
