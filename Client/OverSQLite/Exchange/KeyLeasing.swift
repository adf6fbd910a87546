import GRDB
import Synchronization

/// Leases numbers for new rows ahead of time, from the sequences that the server takes keys from.
struct KeyLeasing {
    let session: SyncSession

    /// Leases where half of the last lease is used up.
    ///
    /// - Throws: `SyncError`. Nothing was changed.
    func run() async throws {
        guard session.catalog.tables.contains(where: \.leasesKeys) else { return }
        let (state, standings) = try await session.read { db in
            (try DeviceStateTable(db: db).read(), try KeyRanges(db: db).standings())
        }
        var wanted = wanted(standings)
        guard !wanted.isEmpty, let epoch = state.epoch else { return }
        let offered = try await offered()
        wanted.removeAll { !offered.contains($0.table.wireName) }
        guard !wanted.isEmpty else { return }
        let counts = Dictionary(uniqueKeysWithValues: wanted.map { ($0.table.wireName, $0.count) })
        let leased = try await session.gateway.leaseKeys(counts)
        let now = session.now
        let given = Dictionary(
            leased.tables.map { ($0.table, $0.ranges) }, uniquingKeysWith: { first, _ in first })
        try await session.write { [wanted] db in
            let current = try DeviceStateTable(db: db).read()
            try session.checkUser(current)
            // Numbers of another history or device are left unused.
            guard leased.epoch == epoch, current.epoch == epoch,
                current.sourceID == state.sourceID
            else { return }
            for (table, count) in wanted {
                guard let ranges = given[table.wireName], !ranges.isEmpty else { continue }
                try KeyRanges(db: db).store(
                    ranges, of: table.id, size: count, at: now, device: state.sourceID,
                    epoch: epoch)
            }
        }
        session.keyRefusals.withLock { refusals in
            for (table, _) in wanted {
                let isRefused = given[table.wireName]?.isEmpty ?? true
                refusals[table.id] = isRefused ? now : nil
            }
        }
    }

    /// The tables of which the server leases numbers to this user.
    private func offered() async throws -> Set<String> {
        let capabilities = try await session.capabilities()
        guard capabilities.offers(.keys) else { return [] }
        let schema = session.configuration.schema
        let wire = schema.isEmpty ? "public" : schema
        return Set(
            (capabilities.tables ?? []).filter { $0.leasesKeys && $0.schema == wire }.map(\.table))
    }

    private func wanted(_ standings: [KeyStanding]) -> [(table: TableSchema, count: Int64)] {
        let (catalog, now) = (session.catalog, session.now)
        let refusals = session.keyRefusals.withLock { $0 }
        return standings.compactMap { standing in
            guard let table = catalog.table(id: standing.table), table.leasesKeys,
                let count = KeyLeaseRules.wanted(of: standing, now: now),
                refusals[standing.table].map({ abs(now - $0) < KeyLeaseRules.pause }) != true
            else { return nil }
            return (table, count)
        }
    }
}

extension SyncSession {
    /// Leases numbers for new rows where they run low. Sync goes on without them: the next one asks
    /// again.
    func leaseKeys() async { try? await KeyLeasing(session: self).run() }
}
