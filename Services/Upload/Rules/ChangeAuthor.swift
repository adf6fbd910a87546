import Sidecar

/// On whose behalf changes are judged.
enum ChangeAuthor: Hashable, Sendable {
    case caller(Caller)
    /// A change that was let in when its device sent it is tried again, whoever asks for it: with
    /// the roles that its table asks for, unless the table is open to nobody any more.
    case retry(roles: Set<String>)

    var roles: Set<String> {
        switch self {
        case .caller(let caller): caller.roles
        case .retry(let roles): roles
        }
    }

    func mayWrite(_ table: RegisteredTable) -> Bool {
        switch self {
        case .caller(let caller): table.access.mayWrite(caller)
        case .retry: table.access.isOpenToAnybody
        }
    }
}
