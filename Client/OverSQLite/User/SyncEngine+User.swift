import GRDB

/// What becomes, at a sign-in, of rows that were written before anybody had signed in.
public enum LocalData: Sendable, Hashable {
    /// They are sent and become the user's. Rows of the same key meet the server's as in any conflict.
    case merge
    /// They stay on this device and are not sent, until the app edits them. `sync_row_status` does not show
    /// them. They go when the user signs out.
    case keep
    /// They are deleted.
    case discard
}

/// Whose rows the database holds: nobody's or one user's, never two users'.
///
/// Without `signIn` a database becomes that of the first user whose token is used (the token's `sub`), and
/// what was written before is merged. From then on a token of another user is refused with
/// `SyncError.differentUser` before anything is sent or read.
extension SyncEngine {
    /// The user whose rows the database holds; nil before the first sign-in and after a sign-out.
    ///
    /// - Throws: a database error, as `SyncError`.
    public var userID: String? {
        get async throws { try await session.write { db in try DeviceState.read(db).userID } }
    }

    /// Makes the database a user's, before any request is sent for the user. Does nothing if it is already.
    ///
    /// `credentials` must give the user's tokens from now on. Exchanges that run are finished first; a loop
    /// that waits for credentials tries at once.
    ///
    /// - Parameters:
    ///   - userID: as tokens carry it in `sub`.
    ///   - localData: what becomes of rows written before.
    /// - Throws: `SyncError.noCredentials` for an empty name; `SyncError.differentUser` if it holds another user's
    ///   rows: sign out first. A database error.
    public func signIn(as userID: String, localData: LocalData = .merge) async throws {
        guard !userID.isEmpty else { throw SyncError.noCredentials("signIn(as:) names no user") }
        let (catalog, outcomes) = (session.catalog, session.outcomes)
        try await session.exclusively {
            try await session.write { db in
                if let owner = try DeviceState.read(db).userID {
                    if owner == userID { return }
                    throw SyncError.differentUser(owner: owner, other: userID)
                }
                try SignIn(db: db, catalog: catalog).take(userID, localData, outcomes)
            }
            session.forgetUser()
        }
        try await session.refreshCounts(settling: .all)
        retryNow()
    }

    /// Removes the user's rows and all that is known of the user, so that the next one starts afresh: every
    /// row of every table that is synced, or was once. Loops that `start()` began are stopped; a loop in
    /// `run()` must be ended by its task.
    ///
    /// - Parameter force: also when edits wait that were never sent or were rejected; they are lost.
    /// - Throws: `SyncError.pendingChanges` with the numbers of such rows, unless forced; then nothing was
    ///   removed. A database error, as when a table that is not synced refers to a row and restricts its
    ///   deletion.
    public func signOut(force: Bool = false) async throws {
        await stop()
        let (catalog, outcomes, now) = (session.catalog, session.outcomes, session.now)
        try await session.exclusively {
            try await session.write { db in
                try ChangeLog(db: db, catalog: catalog).fold()
                let counts = try PendingQueue(db: db).counts(catalog)
                guard force || counts.pending == 0 else {
                    throw SyncError.pendingChanges(counts.pending, rejected: counts.rejected)
                }
                try outcomes.settle(db, catalog, .all, now: now)
                outcomes.discardAll(with: db)
                try SignOut(db: db, catalog: catalog).removeEverything()
            }
            session.forgetUser()
        }
        session.board.update { status in
            status.lastError = nil
            status.lastSynced = nil
            status.progress = nil
        }
        try await session.refreshCounts()
    }
}

/// Hands a database that is nobody's to its first user.
struct SignIn {
    let db: Database
    let catalog: Catalog

    func take(_ userID: String, _ localData: LocalData, _ outcomes: OutcomeWatch) throws {
        try ChangeLog(db: db, catalog: catalog).fold()
        switch localData {
        case .merge: break
        case .keep:
            outcomes.discardAll(with: db)
            try db.execute(
                sql: "DELETE FROM _sync_pending; DELETE FROM _sync_sent; DELETE FROM _sync_absent")
        case .discard:
            outcomes.discardAll(with: db)
            try SignOut(db: db, catalog: catalog).removeEverything()
        }
        try db.execute(sql: "UPDATE _sync_state SET user_id = ?", arguments: [userID])
    }
}
