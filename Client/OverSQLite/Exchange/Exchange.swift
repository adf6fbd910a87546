import GRDB

/// Fetches and sends, after checking that the device and the server share the same epoch.
struct Exchange {
    let session: SyncSession

    /// Downloads the log to its end. Rereads it from its start if the server cannot serve the
    /// cursor.
    ///
    /// - Parameter isFresh: see ``Fetching/isFresh``.
    func fetch(isFresh: Bool = false) async throws {
        try await orient()
        let fetching = Fetching(session: session, isFresh: isFresh)
        do {
            try await fetching.run()
        } catch let error as SyncError where error.asksForReread {
            try await reread(error)
            try await fetching.run()
        }
    }

    /// Sends what may be sent now. On a device that is not hydrated yet, it fetches first.
    ///
    /// - Returns: when the next rejected row is due, in seconds since 1970; nil if none is.
    func send() async throws -> Double? {
        try await orient()
        if try await !state().isHydrated { try await fetch() }
        do {
            return try await Sending(session: session).run()
        } catch let error as SyncError where error.asksForReread {
            try await reread(error)
            try await fetch()
            return try await Sending(session: session).run()
        }
    }

    /// Asks the server once per process what it knows about this device.
    private func orient() async throws {
        guard session.epoch.current == .unknown else { return }
        guard let standing = try await session.gateway.bootstrap() else {
            session.epoch.current = .none
            return
        }
        try await meet(standing)
    }

    private func meet(_ standing: Standing) async throws {
        let catalog = session.catalog
        let finding = try await session.write { db in
            let state = try DeviceStateTable(db: db).read()
            let finding = standing.compare(with: state)
            switch finding {
            case .asBefore:
                try DeviceStateTable(db: db).setEpoch(standing.epoch)
            case .deviceRestored:
                try DeviceStateTable(db: db).continueFrom(standing)
            case .newHistory:
                try ChangeLog(db: db, catalog: catalog).fold()
                try Reread(db: db, catalog: catalog, reason: .newHistory)
                    .begin(epoch: standing.epoch)
            }
            return finding
        }
        session.epoch.current = .known(standing.epoch)
        try await showBeginning(standing)
        if finding == .deviceRestored {
            session.board.post([
                .reread(RereadReport(reason: .deviceRestored, resentRows: 0, removedRows: 0))
            ])
        }
    }

    /// Shows how much there is to download, before the first page arrives.
    private func showBeginning(_ standing: Standing) async throws {
        let start = try await Fetching.start(session)
        guard !start.isHydrated else { return }
        session.board.update {
            $0.progress = start.progress(at: start.cursor, of: standing.highest, applied: 0)
        }
    }

    /// Starts to reread the log, for the reason that the error gives.
    private func reread(_ error: SyncError) async throws {
        if error.isOfAnotherHistory {
            session.epoch.current = .unknown
            return try await orient()
        }
        let catalog = session.catalog
        try await session.write { db in
            try ChangeLog(db: db, catalog: catalog).fold()
            try Reread(db: db, catalog: catalog, reason: .historyPruned).begin(epoch: nil)
        }
    }

    private func state() async throws -> DeviceState {
        try await session.read { db in try DeviceStateTable(db: db).read() }
    }
}

extension SyncSession {
    /// Fetches. The caller holds the lock.
    ///
    /// - Parameter isFresh: see ``Fetching/isFresh``.
    func fetch(isFresh: Bool = false) async throws {
        board.update { $0.state = .fetching }
        try await Exchange(session: self).fetch(isFresh: isFresh)
        await lookAtTables()
    }

    /// Sends. The caller holds the lock.
    ///
    /// - Returns: when the next rejected row is due, in seconds since 1970; nil if none is.
    func send() async throws -> Double? {
        board.update { $0.state = .sending }
        return try await Exchange(session: self).send()
    }
}

extension SyncError {
    /// Whether the server cannot serve this device's cursor, so that the log must be reread.
    var asksForReread: Bool {
        guard case .refused(_, let code, _) = self else { return false }
        return code == RereadReason.historyPruned.rawValue || isOfAnotherHistory
    }

    var isOfAnotherHistory: Bool {
        guard case .refused(_, let code, _) = self else { return false }
        return ["epoch_changed", "checkpoint_ahead"].contains(code)
    }
}
