import GRDB

/// The user whose rows the database holds. A database belongs to no user or to one, never to two.
///
/// Without `signIn(as:localData:)`, the database belongs to the first user whose token is used (the
/// token's `sub`), and rows written before are merged with that user's. After that, a token of
/// another user fails with `SyncError.differentUser` before anything is sent or downloaded.
extension SyncEngine {
    /// The user whose rows the database holds; nil before the first sign-in and after a sign-out.
    ///
    /// - Throws: a database error, as `SyncError`.
    public var userID: String? {
        get async throws {
            try await session.read { db in try DeviceStateTable(db: db).read().userID }
        }
    }

    /// Assigns the database to a user before any request is sent for that user. Does nothing if the
    /// database already belongs to that user.
    ///
    /// From now on `credentials` must return this user's tokens. A running exchange finishes first.
    /// A background loop that waits for credentials tries again at once.
    ///
    /// - Parameters:
    ///   - userID: the user's id, equal to `sub` in the tokens.
    ///   - localData: what happens to rows written before the sign-in. The default merges them.
    /// - Throws: `SyncError.noCredentials` if `userID` is empty; `SyncError.differentUser` if the
    ///   database holds another user's rows (sign that user out first); a database error, as
    ///   `SyncError`.
    public func signIn(as userID: String, localData: LocalData = .merge) async throws {
        guard !userID.isEmpty else {
            throw SyncError.noCredentials("signIn(as:) was called with an empty user id")
        }
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

    /// Removes the user's rows and everything known about the user, so that another user can sign
    /// in.
    ///
    /// This deletes every row of every table that is synced now or was synced before. It stops the
    /// background loop that `start()` began. It does not end a loop in `run()`: cancel that task
    /// yourself.
    ///
    /// - Parameter force: pass true to sign out although changes are pending or rejected. They are
    ///   lost.
    /// - Throws: `SyncError.pendingChanges`, with the number of such rows, unless `force` is true;
    ///   nothing was removed then. A database error, as `SyncError`, for example if a table that is
    ///   not synced refers to a row and restricts its deletion.
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
            status.endTransfers()
        }
        try await session.refreshCounts()
    }
}
