import Model
import RPC
import Sidecar

extension Caller {
    /// Whom the gateway has let in.
    package init(_ identity: CallerIdentity) {
        self.init(
            user: UserID(identity.user), device: DeviceID(identity.device), roles: identity.roles)
    }
}
