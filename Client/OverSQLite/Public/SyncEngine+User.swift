import GRDB

/// Whose rows the database holds: nobody's or one user's, never two users'.
///
/// Without `signIn` a database becomes that of the first user whose token is used (the token's
/// `sub`), and what was written before is merged. From then on a token of another user is refused
/// with `SyncError.differentUser` before anything is sent or read.
extension SyncEngine {
    /// The user whose rows the database holds; nil before the first sign-in and after a sign-out.
    ///
    /// - Throws: a database error, as `SyncError`.
    public var userID: String? {
        get async throws {
            try await session.read { db in try DeviceStateTable(db: db).read().userID }
        }
    }

    /// Makes the database a user's, before any request is sent for the user. Does nothing if it is
    /// already.
    ///
    /// `credentials` must give the user's tokens from now on. Exchanges that run are finished
    /// first; a loop that waits for credentials tries at once.
    ///
    /// - Parameters:
    ///   - userID: as tokens carry it in `sub`.
    ///   - localData: what becomes of rows written before.
    /// - Throws: `SyncError.noCredentials` for an empty name; `SyncError.differentUser` if it holds
    ///   another user's rows: sign out first. A database error.
    public func signIn(as userID: String, localData: LocalData = .merge) async throws {
        guard !userID.isEmpty else { throw SyncError.noCredentials("signIn(as:) names no user") }
        let (catalog, outcomes) = (session.catalog, session.outcomes)
        try await session.exclusively {
            try await session.write { db in
                if let owner = try DeviceStateTable(db: db).read().userID {
                    if owner == userID { return }
                    throw SyncError.differentUser(owner: owner, other: userID)
                }
                try SignIn(db: db, catalog: catalog).take(userID, localData, outcomes)
            }
            session.forgetUser()
        }
        try await session.refreshCounts(confirming: .all)
        retryNow()
    }

    /// Removes the user's rows and all that is known of the user, so that the next one starts
    /// afresh: every row of every table that is synced, or was once. Loops that `start()` began are
    /// stopped; a loop in `run()` must be ended by its task.
    ///
    /// - Parameter force: also when edits wait that were never sent or were rejected; they are
    ///   lost.
    /// - Throws: `SyncError.pendingChanges` with the numbers of such rows, unless forced; then
    ///   nothing was removed. A database error, as when a table that is not synced refers to a row
    ///   and restricts its deletion.
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
                try outcomes.confirm(db, catalog, .all, now: now)
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
