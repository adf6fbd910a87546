import Sidecar

/// On whose behalf changes are judged.
enum ChangeAuthor: Hashable, Sendable {
    case caller(Caller)
    /// A retry of a change that was accepted when its device sent it. It has the roles that its
    /// table requires, for any retry, unless the table is closed to everybody now.
    case retry(roles: Set<String>)

    var roles: Set<String> {
        switch self {
        case .caller(let caller): caller.roles
        case .retry(let roles): roles
        }
    }

    func mayWrite(_ table: RegisteredTable) -> Bool {
        switch self {
        case .caller(let caller): table.isWritable(by: caller)
        case .retry: table.access.isOpenToAnybody
        }
    }

    /// Whether the caller could write to the table, if its client asked for the kind of its keys.
    func lacksKind(of table: RegisteredTable) -> Bool {
        switch self {
        case .caller(let caller):
            !caller.asks(for: table.keyKind) && table.access.mayWrite(caller)
        case .retry: false
        }
    }
}
