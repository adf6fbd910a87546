import GRDB

/// The result of a conflict.
enum Resolution {
    /// The conflict is resolved. The report is nil if both sides agreed.
    case resolved(ConflictReport?)
    /// The app's resolver failed. The edit is rejected, and the server's row is not written yet.
    /// The value is nil if the resolver failed before, so that the rejection is not news.
    case open(RejectedChange?)

    var report: ConflictReport? {
        guard case .resolved(let report) = self else { return nil }
        return report
    }
}

/// Resolves conflicts inside the transaction that found them, so that it reads the current rows
/// (hazards C9, C10).
struct ConflictResolver {
    let db: Database
    let tables: TableWriters

    /// Resolves a conflict between a pending row and the server's. Runs under apply mode.
    ///
    /// - Parameters:
    ///   - policy: the policy to use; nil uses the table's.
    ///   - earlier: the row as the app knows it, if it has other values in the table at present.
    /// - Throws: `RowFlaw`, or the database's error if it refuses the server's row.
    func resolve(
        _ pending: PendingRow, in table: TableSchema, against server: RemoteRow,
        policy: ConflictPolicy? = nil, earlier: RowValues? = nil
    ) throws -> Resolution {
        let merge = try sides(of: pending, in: table, against: server, earlier: earlier)
        let (base, local, remote) = (merge.base, merge.local, merge.server)
        var policy = policy
        // A row that the server has lost, and that this device sends again. What the app or the
        // server has edited is not the question, but which device knew the newer version.
        switch policy == nil ? try LostVersions(db: db).meeting(pending, server) : nil {
        case .older:
            try perform(.keepClient, pending, table, server, remote: remote)
            return .resolved(nil)
        case .newer: policy = .serverWins
        case nil: break
        }
        if policy == nil,
            try isMadeOn(
                remote, pending, server.version, tables.writer(table))
        {
            try perform(.keepClient, pending, table, server, remote: remote)
            return .resolved(nil)
        }
        let decision: FieldMerge.Decision
        do {
            decision = try merge.decide(policy ?? table.policy) {
                Conflict(
                    table: table.name, key: pending.local, base: base, local: local, server: remote)
            }
            try checkColumns(of: decision.verdict, table)
        } catch {
            let rejection = Rejection.resolverFailed(error)
            try PendingQueue(db: db).reject(table, pending.key, rejection)
            return .open(
                pending.wasRejected(for: rejection)
                    ? nil : RejectedChange(rejection, of: pending.key, in: table))
        }
        try perform(decision.verdict, pending, table, server, remote: remote)
        guard decision.isConflict else { return .resolved(nil) }
        let report = ConflictReport(
            table: table.name, key: pending.key.wire, outcome: outcome(decision.verdict),
            columns: decision.clashes,
            lost: lost(decision.verdict, base: base, local: local, server: remote))
        if decision.verdict == .takeServer {
            tables.outcomes.append(
                RowOutcome(
                    row: .init(tableID: table.id, key: pending.key),
                    kind: .overruled(report, sequence: pending.sequence)))
        }
        return .resolved(report)
    }

    /// The values that a conflict leaves here, as far as rules say it: the app's resolver is not
    /// asked.
    ///
    /// - Returns: nil if it leaves the server's row, or the rules do not say.
    func foreseen(
        _ pending: PendingRow, in table: TableSchema, against server: RemoteRow
    ) throws -> RowValues? {
        let merge = try sides(of: pending, in: table, against: server, earlier: nil)
        switch table.policy {
        case .clientWins: return merge.local
        case .fieldwise(let clash, _): return merge.mergedRow(clash)?.values
        case .serverWins, .resolver: return nil
        }
    }

    /// Whether an edit was made on the very row that the server has, so that nobody else has edited
    /// it. The row comes as a conflict all the same where the device has forgotten which version it
    /// had, or reads another history. Where a repair has lost the image of the row, its version has
    /// to do, unless the server is known to have had another history: two of them have the same
    /// versions for different rows.
    private func isMadeOn(
        _ remote: RowValues?, _ pending: PendingRow, _ version: Int64, _ writer: RowWriter
    ) throws -> Bool {
        guard pending.base == version || pending.base == 0 else { return false }
        guard var image = try RowImage.values(of: pending.image).map(writer.spelledHere) else {
            let wasDeleted = pending.operation == .insert
            guard pending.base == version, wasDeleted == (remote == nil) else { return false }
            let state = try DeviceStateTable(db: db).read()
            return state.reread != .newHistory || state.forkedAt == 0
        }
        guard let remote else { return false }
        image[writer.table.key.wireName] = pending.local
        return FieldMerge.differing(image, remote).isEmpty
    }

    /// The row as both sides have it, and as they had it before.
    private func sides(
        of pending: PendingRow, in table: TableSchema, against server: RemoteRow,
        earlier: RowValues?
    ) throws -> FieldMerge {
        let writer = try tables.writer(table)
        let local = try (earlier ?? LocalRow(db: db, table: table).values(pending.local))
            .map(writer.spelledHere)
        var remote = try server.payload.map { payload in
            try payload.withUnsafeBufferPointer { try writer.values(of: $0) }
        }
        // Two spellings of the same key are not a difference.
        remote?[table.key.wireName] = pending.local
        remote = try sameAsStored(remote, local, table, pending.key, writer.inexact)
        var base = FieldMerge.base(
            try RowImage.values(of: pending.image).map(writer.spelledHere),
            sent: try unanswered(pending, table, server).map(writer.spelledHere), server: remote)
        if base != nil { base?[table.key.wireName] = pending.local }
        return FieldMerge(base: base, local: local, server: remote)
    }

    /// The server's row, with this device's form of values that came before in the same words: what
    /// a column cannot hold exactly is no difference.
    ///
    /// - Parameter inexact: the values of the server's row that the columns cannot give back.
    func sameAsStored(
        _ server: RowValues?, _ local: RowValues?, _ table: TableSchema, _ key: DeviceRowKey,
        _ inexact: [ExactValue]
    ) throws -> RowValues? {
        guard var server, let local, !inexact.isEmpty else { return server }
        let kept = try SetAsideColumns(db: db).exact(table, key)
        for value in inexact {
            guard let before = kept[value.column], before.wire.elementsEqual(value.wire.utf8),
                let now = local[value.column], before.isStill(now)
            else { continue }
            server[value.column] = now
        }
        return server
    }

    /// - Throws: `UnknownColumn` if the app's resolver returned a column that the table does not
    ///   have.
    private func checkColumns(of verdict: FieldMerge.Verdict, _ table: TableSchema) throws {
        guard case .write(let values) = verdict else { return }
        let columns = Set(table.columns.map(\.wireName))
        if let unknown = values.keys.filter({ !columns.contains($0) }).min() {
            throw UnknownColumn(table: table.name, column: unknown)
        }
    }

    private struct UnknownColumn: Error, CustomStringConvertible {
        let table: String
        let column: String
        var description: String {
            "the resolver returned a column that the table \(table) does not have: \(column)"
        }
    }

    /// The row as it was sent before its last edit, if that upload was not answered and the
    /// server's version may be based on it.
    private func unanswered(
        _ pending: PendingRow, _ table: TableSchema, _ server: RemoteRow
    ) throws -> RowValues? {
        guard let image = pending.sentImage,
            try SentChanges(db: db).records(table, pending.key)
                .contains(where: { $0.mayBeBeneath(server.version) })
        else { return nil }
        return RowImage.values(of: image)
    }

    private func perform(
        _ verdict: FieldMerge.Verdict, _ pending: PendingRow, _ table: TableSchema,
        _ server: RemoteRow,
        remote: RowValues?
    ) throws {
        let queue = PendingQueue(db: db)
        let image = remote.map(RowImage.text(of:))
        switch verdict {
        case .takeServer:
            try queue.remove(table, pending.key)
            try tables.write(server, table, pending.key, local: pending.local)
        case .keepClient:
            let isGone = pending.operation == .delete
            try rebase(pending, table, server, as: isGone ? .delete : nil, image: image)
        case .write(let values):
            try tables.writer(table).upsert(values, local: pending.local)
            tables.rememberChange(in: table)
            if let payload = server.payload {
                try tables.keepExact(
                    of: payload, table, pending.key, local: pending.local, merged: values,
                    server: remote ?? [:])
            }
            try rebase(pending, table, server, as: nil, image: image)
        case .delete:
            try tables.known.record(
                table, pending.key, server.known, local: pending.local, term: server.term)
            try tables.writer(table).delete(local: pending.local)
            tables.rememberChange(in: table)
            try queue.rebase(table, pending.key, onto: server.version, as: .delete, image: image)
        }
    }

    /// - Parameter operation: nil means that the row exists here: an insert if the server has none,
    ///   otherwise an update.
    private func rebase(
        _ pending: PendingRow, _ table: TableSchema, _ server: RemoteRow,
        as operation: CapturedOperation?,
        image: String?
    ) throws {
        try tables.known.record(
            table, pending.key, server.known, local: pending.local, term: server.term)
        if operation == .delete, server.payload == nil {
            return try PendingQueue(db: db).remove(table, pending.key)
        }
        if let payload = server.payload {
            try tables.setAsideUnknown(payload, table, pending.key)
        }
        try PendingQueue(db: db).rebase(
            table, pending.key, onto: server.version,
            as: operation ?? (server.payload == nil ? .insert : .update), image: image)
    }

    private func outcome(_ verdict: FieldMerge.Verdict) -> ConflictReport.Outcome {
        switch verdict {
        case .takeServer: .tookServer
        case .keepClient: .keptClient
        case .write, .delete: .merged
        }
    }

    /// The values that the device had and no longer has. If the row still exists, only those that
    /// the device had edited.
    private func lost(
        _ verdict: FieldMerge.Verdict, base: RowValues?, local: RowValues?, server: RowValues?
    ) -> RowValues {
        guard let local else { return [:] }
        let now: RowValues
        switch verdict {
        case .keepClient: return [:]
        case .takeServer: now = server ?? [:]
        case .write(let values): now = values
        case .delete: now = [:]
        }
        return local.filter { column, value in
            if server != nil, let before = base?[column], FieldMerge.areSame(before, value) {
                return false
            }
            let isGone = server == nil || verdict == .delete
            guard let stands = now[column] else { return isGone }
            if FieldMerge.areSame(stands, value) { return false }
            // A value that the app's resolver computed from both sides, such as a sum, loses
            // neither.
            return server?[column].map { FieldMerge.areSame($0, stands) } ?? true
        }
    }
}

/// Reads one row of an app's table.
struct LocalRow {
    let db: Database
    let table: TableSchema

    /// The row's values by lower-case column name; nil if there is no such row.
    func values(_ local: DatabaseValue) throws -> RowValues? {
        let names = table.columns.map(\.name.quotedIdentifier).joined(separator: ", ")
        let statement = try db.cachedStatement(
            sql: "SELECT \(names) FROM \(table.quotedName) WHERE \(table.quotedKey) IS ?")
        guard let row = try Row.fetchOne(statement, arguments: [local]) else { return nil }
        var values: RowValues = [:]
        for (index, column) in table.columns.enumerated() { values[column.wireName] = row[index] }
        return values
    }
}
