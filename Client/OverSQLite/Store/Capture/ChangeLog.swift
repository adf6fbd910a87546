import GRDB

/// Folds what the triggers captured into the queue of pending rows.
///
/// Every transaction of the library starts with this, so that its decisions take into account every
/// edit that the app has committed (hazards C4, C5, H2).
struct ChangeLog {
    /// Touches read at once, to limit memory.
    static let chunk = 2000

    let db: Database
    let catalog: DeviceCatalog

    /// Folds all touches.
    ///
    /// - Parameter limit: the maximum number of touches to fold; nil folds all.
    /// - Returns: pending edits that were lost to a server's delete.
    @discardableResult
    func fold(limit: Int? = nil) throws -> [LostEdit] {
        let log = TouchLog(db: db)
        let state = DeviceStateTable(db: db)
        var folded = try state.folded()
        let start = folded
        try log.check(folded: folded)
        var lost: [LostEdit] = []
        var budget = limit ?? Int.max
        let queue = PendingQueue(db: db)
        while budget > 0 {
            let touches = try log.touches(after: folded, count: min(Self.chunk, budget))
            guard let last = touches.last else { break }
            for touch in touches { try fold(touch, into: queue, lost: &lost) }
            folded = last.sequence
            budget -= touches.count
        }
        if folded > start {
            try state.setFolded(folded)
            try log.remove(before: folded)
        }
        return lost
    }

    private func fold(_ touch: Touch, into queue: PendingQueue, lost: inout [LostEdit]) throws {
        guard let table = catalog.table(id: touch.tableID) else {
            return try AbsentTables(db: db).keep(touch)
        }
        let sendable = table.keyForm.key(fromLocal: touch.local)
        let key = sendable ?? unsendableKey(touch.local)
        let waiting = try queue.row(table, key)
        let known = try KnownRows(db: db).find(table, key)
        if touch.kind == .local {
            if known != nil, waiting == nil { try bringBack(touch, key, in: table) }
            return
        }
        // Only rows that are written under the key's new spelling reveal it.
        let found = try live(touch, in: table, pending: waiting, known: known)
        let (isLive, local) = (found != nil, found ?? touch.local)
        let sent = try waiting == nil ? [] : queue.sent.records(table, key)
        let action = FoldRules.decide(
            touch.kind, isLive: isLive, known: known?.row,
            waiting: waiting.map { ($0.operation, $0.base) },
            wasSent: !sent.isEmpty)
        if touch.kind == .duringApply, let waiting, action != .ignore {
            lost.append(
                LostEdit(table: table, key: key, image: touch.image, sequence: waiting.sequence))
        }
        switch action {
        case .ignore: break
        case .enqueue(let operation, let base):
            try queue.add(
                PendingRow(
                    sequence: touch.sequence, tableID: table.id, key: key, local: local,
                    operation: operation, base: base, image: touch.image,
                    revision: touch.sequence),
                form: table.keyForm)
            if sendable == nil {
                try queue.reject(table, key, .unsendableKey(touch.local, of: table.keyForm))
            }
        case .edit(let operation):
            // After a row that was sent with stand-ins, what was sent is recorded already.
            let isFirstSinceSent = sent.last?.revision == waiting?.revision
            try queue.edit(
                table, key, operation, revision: touch.sequence, local: local,
                sentImage: isFirstSinceSent ? touch.image : nil)
        case .forget:
            try queue.remove(table, key)
        }
    }

    /// Downloads a row again that was deleted on this device only, and is not here again.
    private func bringBack(_ touch: Touch, _ key: DeviceRowKey, in table: TableSchema) throws {
        guard try live(touch, in: table, pending: nil, known: nil) == nil else { return }
        try KnownRows(db: db).forget(table, key)
        try DeviceStateTable(db: db).readAgain()
    }

    /// The spelling under which the table has the row; nil if it has not. The row may have been
    /// respelled: then its old spelling is gone, and the row is not.
    private func live(
        _ touch: Touch, in table: TableSchema, pending: PendingRow?, known: KnownRows.Entry?
    ) throws -> DatabaseValue? {
        let keys = RespelledKeys(db: db)
        if let found = try keys.live([touch.local], in: table) { return found }
        guard table.keyForm == .uuidText, pending != nil || known != nil,
            let key = table.keyForm.key(fromLocal: touch.local)
        else { return nil }
        var others = RespelledKeys.common(key)
        if let pending { others.append(pending.local) }
        if let known { others.append(table.keyForm.spelled(known.spelling, for: key)) }
        return try keys.live(others.filter { $0 != touch.local }, in: table)
    }

    /// The row's key in the queue.
    private func key(_ local: DatabaseValue, in table: TableSchema) -> DeviceRowKey {
        table.keyForm.key(fromLocal: local) ?? unsendableKey(local)
    }

    private func unsendableKey(_ local: DatabaseValue) -> DeviceRowKey {
        DeviceRowKey(wire: KeyForm.unsendableMark + SQLLiteral.text(of: local))
    }
}

// MARK: - The edits of one transaction

extension ChangeLog {
    /// The last edit of each row that the app has touched since `start`, in the order of the first
    /// touches. Runs in the transaction that made the edits, so that they are not folded yet.
    func edits(after start: Int64) throws -> [WatchedEdit] {
        var order: [TableKey] = []
        var revisions: [TableKey: Int64] = [:]
        var last = start
        while true {
            let touches = try TouchLog(db: db).touches(after: last, count: Self.chunk)
            for touch in touches {
                last = touch.sequence
                guard let row = try row(of: touch) else { continue }
                if revisions.updateValue(touch.sequence, forKey: row) == nil { order.append(row) }
            }
            if touches.count < Self.chunk { break }
        }
        return order.map { WatchedEdit(row: $0, revision: revisions[$0] ?? start) }
    }

    /// - Returns: nil if the touch was not an edit: a row that might have been replaced and still
    ///   exists.
    private func row(of touch: Touch) throws -> TableKey? {
        guard touch.kind != .duringApply, touch.kind != .local,
            let table = catalog.table(id: touch.tableID)
        else {
            return nil
        }
        if touch.kind == .maybeReplaced,
            try RespelledKeys(db: db).live([touch.local], in: table) != nil
        {
            return nil
        }
        return .init(tableID: table.id, key: key(touch.local, in: table))
    }
}
