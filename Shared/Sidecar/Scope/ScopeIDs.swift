import Model
import Synchronization

/// The scopes of the users who were met lately, so that a statement can name its scope by number.
///
/// What is remembered may be outdated. Statements check it (``NamedScope``); a caller that learns
/// from one that a scope is no longer its user's forgets it here and looks it up.
package final class ScopeIDs: Sendable {
    /// Users of one generation, some 150 bytes each. There are two: at most twice as many users are
    /// remembered.
    package static let usersPerGeneration = 50_000

    private struct State {
        /// Users who were met since the generation before was full.
        var young: [UserID: ScopeID] = [:]
        /// Those who were not met since. They go when the young generation is full, too.
        var old: [UserID: ScopeID] = [:]
    }

    private let usersPerGeneration: Int
    private let state = Mutex(State())

    package init(usersPerGeneration: Int = ScopeIDs.usersPerGeneration) {
        self.usersPerGeneration = usersPerGeneration
    }

    /// Users who are remembered now.
    package var count: Int { state.withLock { $0.young.count + $0.old.count } }

    /// The user's scope, if it is remembered.
    package func scope(of user: UserID) -> NamedScope? {
        state.withLock { state in
            if let id = state.young[user] { return NamedScope(id: id, user: user) }
            guard let id = state.old.removeValue(forKey: user) else { return nil }
            keep(id, of: user, in: &state)
            return NamedScope(id: id, user: user)
        }
    }

    package func remember(_ scope: NamedScope) {
        state.withLock { state in
            state.old[scope.user] = nil
            keep(scope.id, of: scope.user, in: &state)
        }
    }

    /// Forgets a scope that is not its user's any more. One that was remembered meanwhile stays.
    package func forget(_ scope: NamedScope) {
        state.withLock { state in
            if state.young[scope.user] == scope.id { state.young[scope.user] = nil }
            if state.old[scope.user] == scope.id { state.old[scope.user] = nil }
        }
    }

    private func keep(_ id: ScopeID, of user: UserID, in state: inout State) {
        if state.young[user] == nil, state.young.count >= usersPerGeneration {
            state.old = state.young
            state.young = [:]
        }
        state.young[user] = id
    }
}
