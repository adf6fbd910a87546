import Model
import RPC
import Sidecar

extension CallerIdentity {
    /// The kinds that the client asks for; what is not known here, no table has.
    package var knownKeyKinds: Set<KeyKind> { Set(keyKinds.compactMap(KeyKind.init(rawValue:))) }
}

extension Caller {
    /// Whom the gateway has let in.
    package init(_ identity: CallerIdentity) {
        self.init(
            user: UserID(identity.user), device: DeviceID(identity.device), roles: identity.roles,
            keyKinds: identity.knownKeyKinds)
    }
}
