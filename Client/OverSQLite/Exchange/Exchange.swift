import GRDB

/// Fetching and sending, once the device and the server are known to speak of the same history.
struct Exchange {
    let session: SyncSession

    /// Reads the feed to its end; from its start if the server says that the cursor leads nowhere.
    func fetch() async throws {
        try await orient()
        do {
            try await Fetching(session: session).run()
        } catch let error as SyncError where error.asksForReread {
            try await reread(error)
            try await Fetching(session: session).run()
        }
    }

    /// Sends what may be sent now. Before the feed was read to its end nothing is sent.
    ///
    /// - Returns: when the next refused row is due, in seconds since 1970.
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

    /// Asks once a process how the server knows this device.
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

    /// Shows how much there is to read before the first page has come.
    private func showBeginning(_ standing: Standing) async throws {
        let start = try await Fetching.start(session)
        guard !start.isHydrated else { return }
        session.board.update {
            $0.progress = start.progress(at: start.cursor, of: standing.highest, applied: 0)
        }
    }

    /// Begins to read the feed from its start.
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
    func fetch() async throws {
        board.update { $0.state = .fetching }
        try await Exchange(session: self).fetch()
    }

    /// Sends. The caller holds the lock.
    ///
    /// - Returns: when the next refused row is due, in seconds since 1970.
    func send() async throws -> Double? {
        board.update { $0.state = .sending }
        return try await Exchange(session: self).send()
    }
}

extension SyncError {
    /// The server cannot serve this device's cursor truly.
    var asksForReread: Bool {
        guard case .refused(_, let code, _) = self else { return false }
        return code == RereadReason.historyPruned.rawValue || isOfAnotherHistory
    }

    var isOfAnotherHistory: Bool {
        guard case .refused(_, let code, _) = self else { return false }
        return ["epoch_changed", "checkpoint_ahead"].contains(code)
    }
}
