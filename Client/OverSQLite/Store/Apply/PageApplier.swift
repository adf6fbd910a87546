import GRDB

/// Applies pages of the log in one transaction.
struct PageApplier {
    /// Rows to leave out because no page so far contains their parents.
    typealias HoldBack = Set<TableKey>

    /// The result of applying pages.
    struct Summary {
        var applied = 0
        var held = 0
        var reports: [ConflictReport] = []
        /// Edits that the app's resolver failed to resolve.
        var rejected: [RejectedChange] = []
        /// Columns in which triggers of the app's gave rows of the server's other values.
        var altered: Set<String> = []
        /// Set by the page that ends a reread.
        var reread: RereadReport?
    }

    let db: Database
    let catalog: DeviceCatalog
    let ownSource: String
    let holdBack: HoldBack
    /// The reread that the pages belong to; nil if there is none.
    let reread: Reread?
    /// Tables that the app has rebuilt, with values that may be edits.
    let rebuilt: RebuiltTables
    let tables: TableWriters
    let queue: PendingQueue
    let held: HeldRows
    private var hasPending: Bool
    var hasHeld: Bool { tables.hasHeld }
    /// Up to this sequence, the app's values of own rows stand: `withLocalMigration`.
    private let localUntil: Int64
    private var likelyNew = LikelyNewRows()
    /// Deletes of rows that others may refer to.
    var lateDeletes = LateDeletes()
    /// Whether the next page should be read before these are applied.
    var wantsNextPage = false
    /// Held rows that were written now.
    var retried: (upserts: HoldBack, deletes: HoldBack) = ([], [])
    var summary = Summary()
    /// The highest change id seen under this device's name.
    private(set) var highestOwnChange: Int64 = 0
    /// Outcomes of edits that the queue does not show.
    var outcomes: [RowOutcome] { tables.outcomes }

    init(
        _ db: Database, _ catalog: DeviceCatalog, ownSource: String, holdBack: HoldBack = [],
        reread: Reread? = nil
    ) throws {
        self.reread = reread
        self.db = db
        self.catalog = catalog
        self.ownSource = ownSource
        self.holdBack = holdBack
        tables = try TableWriters(db)
        queue = PendingQueue(db: db)
        held = HeldRows(db: db)
        hasPending = try !queue.isEmpty()
        tables.hasHeld = try held.count() > 0
        localUntil = try DeviceStateTable(db: db).localUntil()
        rebuilt = try RebuiltTables(db: db, tables: tables, catalog: catalog)
    }

    /// Applies every change of the page in order. The caller has set apply mode.
    mutating func apply(_ page: DownloadPage) throws {
        try page.body.withUnsafeBufferPointer { bytes in
            var name: String?
            var table: TableSchema?
            var mayCollect = false
            for (index, change) in page.changes.enumerated() {
                if name != change.table {
                    name = change.table
                    table = catalog.table(wireName: change.table)
                    mayCollect = try table.map(takesPlainInserts) ?? false
                }
                lateDeletes.changesSeen += 1
                guard let table else { continue }
                if change.isDelete, mayBeLate(table) {
                    lateDeletes.add(change, table)
                    continue
                }
                if mayCollect, try collect(change, at: index, table) { continue }
                try writeLikelyNew(page, bytes)
                try apply(change, table, bytes)
            }
            try writeLikelyNew(page, bytes)
        }
    }

    /// Applies the late deletes, tries the held rows again, and tells observers what changed.
    ///
    /// - Parameters:
    ///   - isEnd: whether the log has been downloaded to its end.
    ///   - mayWait: whether the next page may be read before these are applied.
    mutating func finish(isEnd: Bool, mayWait: Bool) throws {
        if mayWait, try lateDeletes.mayComeTooEarly(tables) {
            wantsNextPage = true
            return
        }
        try applyLateDeletes()
        if hasHeld {
            try retryHeld()
            try exchangeUniqueValues()
        }
        try LateSpellings(db: db, catalog: catalog, tables: tables).apply()
        if isEnd {
            summary.reread = try reread?.finish(tables)
            try rebuilt.finish()
        }
        summary.altered = tables.altered
        try tables.announce()
    }

    mutating func apply(
        _ change: RemoteChange, _ table: TableSchema, _ bytes: UnsafeBufferPointer<UInt8>
    ) throws {
        rememberOwn(change)
        guard let key = table.keyForm.key(fromWire: change.key) else {
            return try hold(
                change, table, DeviceRowKey(wire: change.key), bytes, .unreadable,
                "the key does not fit the table's key column")
        }
        let known = try tables.known.find(table, key)
        let pending = hasPending ? try queue.row(table, key) : nil
        let sent = try pending == nil ? [] : queue.sent.records(table, key)
        let meeting = try reread?.meet(change, table, key, known: known?.row)
        // Before histories are compared: values that differ may be edits, which the server's would
        // replace.
        if rebuilt.has(table), pending == nil, let known, known.row.version == change.version,
            meeting != .compare || !known.row.isDeleted && !change.isDelete
        {
            if try rebuilt.meet(change, table, key, known, bytes) { hasPending = true }
            return
        }
        if meeting == .compare, let known {
            return try compare(change, table, key, known, pending: pending, bytes)
        }
        let action = PullRules.decide(
            change, known: known?.row,
            waiting: pending.map { .init(revision: $0.revision, sent: sent) },
            ownSource: ownSource, localUntil: localUntil)
        if action == .skip {
            return try learnTerm(of: change, table, key, known, bytes)
        }
        if action == .takeStored, let known {
            return try takeStored(
                remoteRow(change, key, bytes), table, key, known, pending: pending)
        }
        if action == .postpone {
            return try hold(
                change, table, key, bytes, .unanswered,
                "an edit of this row was sent and is not answered yet")
        }
        if holdBack.contains(TableKey(tableID: table.id, key: key)) {
            return try holdOpen(change, table, key, bytes)
        }
        let local = known.map { table.keyForm.spelled($0.spelling, for: key) }
        // Whatever happens to this version, a held version is older.
        if hasHeld { try held.release(table, key) }
        if change.isDelete, try hasUpdatesWaiting(below: local, table) {
            return try hold(
                change, table, key, bytes, .stillReferredTo,
                "rows here still refer to it, and newer versions of them wait")
        }
        do {
            try perform(action, change, table, key, local: local, pending: pending, bytes)
            summary.applied += 1
        } catch let flaw as RowFlaw {
            try hold(change, table, key, bytes, .unreadable, flaw.description)
        } catch let error as DatabaseError
            where error.isOfTheRow
        {
            try hold(
                change, table, key, bytes, .constraint,
                error.message ?? "it violates a constraint of this database")
        }
    }

    private mutating func perform(
        _ action: PullRules.Action, _ change: RemoteChange, _ table: TableSchema,
        _ key: DeviceRowKey,
        local: DatabaseValue?, pending: PendingRow?, _ bytes: UnsafeBufferPointer<UInt8>
    ) throws {
        guard let pending, action != .apply else {
            guard let payload = change.payload else {
                return try tables.delete(version: change.version, table, key, local: local)
            }
            return try tables.upsert(
                UnsafeBufferPointer(rebasing: bytes[payload]), version: change.version,
                term(of: change, key, bytes), table, key, local: local)
        }
        let row = remoteRow(change, key, bytes)
        switch action {
        case .skip, .apply, .postpone, .takeStored: break
        case .confirm:
            try OwnWrite(db: db, tables: tables).confirm(pending, in: table, by: row)
        case .rebase:
            let sent = try queue.sent.records(table, key).first { $0.changeID == change.changeID }
            try OwnWrite(db: db, tables: tables).rebase(
                pending, in: table, onto: row, sent: sent?.revision)
        case .resolve:
            _ = try resolve(pending, in: table, against: row)
        }
    }

    /// Resolves a conflict. If the app's resolver fails, the server's row is held: should the app
    /// discard its edit, the row must become that version, and no later page brings it again.
    ///
    /// - Returns: whether the conflict is resolved.
    private mutating func resolve(
        _ pending: PendingRow, in table: TableSchema, against row: RemoteRow,
        policy: ConflictPolicy? = nil
    ) throws -> Bool {
        var resolution = Resolution.open(nil)
        try db.inSavepoint {
            resolution = try ConflictResolver(db: db, tables: tables).resolve(
                pending, in: table, against: row, policy: policy)
            return .commit
        }
        if let report = resolution.report { summary.reports.append(report) }
        guard case .open(let refused) = resolution else { return true }
        if let refused { summary.rejected.append(refused) }
        try held.hold(table, pending.key, row, .unresolved, "the app's resolver failed")
        tables.hasHeld = true
        return false
    }

    /// Compares a row whose version number is the same in two histories. If the contents differ,
    /// the server's wins and the replaced values are reported. A row with pending edits is a normal
    /// conflict.
    private mutating func compare(
        _ change: RemoteChange, _ table: TableSchema, _ key: DeviceRowKey, _ known: KnownRows.Entry,
        pending: PendingRow?, _ bytes: UnsafeBufferPointer<UInt8>
    ) throws {
        let row = remoteRow(change, key, bytes)
        let local = table.keyForm.spelled(known.spelling, for: key)
        let standing =
            pending
            ?? PendingRow(
                sequence: 0, tableID: table.id, key: key, local: local,
                operation: known.row.isDeleted ? .delete : .update, base: change.version,
                revision: 0)
        var isResolved = false
        do {
            if holdBack.contains(TableKey(tableID: table.id, key: key)) {
                try holdOpen(change, table, key, bytes)
            } else {
                isResolved = try resolve(
                    standing, in: table, against: row, policy: pending == nil ? .serverWins : nil)
                summary.applied += 1
            }
        } catch let flaw as RowFlaw {
            try hold(change, table, key, bytes, .unreadable, flaw.description)
        } catch let error as DatabaseError
            where error.isOfTheRow
        {
            try hold(
                change, table, key, bytes, .constraint,
                error.message ?? "it violates a constraint of this database")
        }
        if !isResolved { try unlearn(change.version, table, key, known, pending: pending) }
    }

    /// Lowers the known version. What this device has at a version of a lost history is not what
    /// the server has at that version, so the held row must count as new, and an edit must conflict
    /// with it.
    private func unlearn(
        _ version: Int64, _ table: TableSchema, _ key: DeviceRowKey, _ known: KnownRows.Entry,
        pending: PendingRow?
    ) throws {
        try tables.known.record(
            table, key, KnownRow(version: version - 1, isDeleted: known.row.isDeleted),
            local: known.spelling, term: nil)
        if pending?.base == version { try queue.setBase(table, key, version - 1) }
    }

    private func remoteRow(
        _ change: RemoteChange, _ key: DeviceRowKey, _ bytes: UnsafeBufferPointer<UInt8>
    ) -> RemoteRow {
        RemoteRow(
            version: change.version, payload: change.payload.map { Array(bytes[$0]) },
            sourceID: change.sourceID, changeID: change.changeID,
            term: term(of: change, key, bytes))
    }

    private mutating func hold(
        _ change: RemoteChange, _ table: TableSchema, _ key: DeviceRowKey,
        _ bytes: UnsafeBufferPointer<UInt8>, _ cause: HeldRow.Cause, _ reason: String
    ) throws {
        try held.hold(table, key, remoteRow(change, key, bytes), cause, reason)
        tables.hasHeld = true
        summary.held += 1
    }

    /// Holds a row that would leave a foreign key open: its own, or that of rows that refer to it.
    private mutating func holdOpen(
        _ change: RemoteChange, _ table: TableSchema, _ key: DeviceRowKey,
        _ bytes: UnsafeBufferPointer<UInt8>
    ) throws {
        if change.isDelete {
            try hold(
                change, table, key, bytes, .stillReferredTo, "rows here still refer to it")
        } else {
            try hold(change, table, key, bytes, .missingParent, "its parent is missing")
        }
    }
}

// MARK: - Rows that are new on this device

extension PageApplier {
    private mutating func rememberOwn(_ change: RemoteChange) {
        guard change.sourceID == ownSource else { return }
        highestOwnChange = max(highestOwnChange, change.changeID)
    }

    private func takesPlainInserts(_ table: TableSchema) throws -> Bool {
        try reread == nil && holdBack.isEmpty && !tables.writer(table).hasAppTriggers
    }

    /// Collects a change to be written with others, if it can only be a plain row of the server.
    ///
    /// - Returns: whether the change was collected.
    private mutating func collect(
        _ change: RemoteChange, at index: Int, _ table: TableSchema
    ) throws -> Bool {
        guard likelyNew.areWorthTrying, let payload = change.payload,
            let key = table.keyForm.key(fromWire: change.key),
            try !hasPending || queue.row(table, key) == nil
        else { return false }
        rememberOwn(change)
        likelyNew.append(
            .init(
                tableID: table.id, key: key, version: change.version, payload: payload, index: index
            ))
        return true
    }

    /// Writes the collected rows. Rows that are already known or are refused are applied one by
    /// one, in the order of the log.
    private mutating func writeLikelyNew(
        _ page: DownloadPage, _ bytes: UnsafeBufferPointer<UInt8>
    ) throws {
        if likelyNew.isEmpty { return }
        let collected = likelyNew.take()
        var left: [Int] = []
        for run in collected.runs {
            guard let table = catalog.table(id: run.tableID) else { continue }
            var places = run.places[...]
            while !places.isEmpty {
                let slice = places.prefix(LikelyNewRows.rowsAtOnce)
                places = places.dropFirst(slice.count)
                guard likelyNew.areWorthTrying else {
                    left += slice
                    continue
                }
                let rows = slice.map { collected.row($0, bytes) }
                let refused = try tables.insert(rows, table).map { slice[slice.startIndex + $0] }
                likelyNew.count(tried: rows.count, missed: refused.count)
                left += refused
                try count(written: slice, except: Set(refused), of: collected, table)
            }
        }
        for place in left.sorted() {
            guard let table = catalog.table(id: collected.rows[place].tableID) else { continue }
            try apply(page.changes[collected.rows[place].index], table, bytes)
        }
    }

    private mutating func count(
        written places: ArraySlice<Int>, except left: Set<Int>,
        of collected: LikelyNewRows.Collected, _ table: TableSchema
    ) throws {
        summary.applied += places.count - left.count
        guard hasHeld else { return }
        for place in places where !left.contains(place) {
            try held.release(table, collected.rows[place].key)
        }
    }
}
