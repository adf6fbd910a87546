import GRDB
import WireJSON

/// Takes rows from the queue and records them as sent, in one transaction.
struct BatchComposer {
    /// Bytes of a change in addition to its payload, names and key.
    static let changeOverhead = 160

    let db: Database
    let catalog: DeviceCatalog
    let schema: String

    /// - Parameters:
    ///   - limit: the maximum number of changes.
    ///   - bytes: the size beyond which no further change is added. The first change is always
    ///     added, so a large one is sent alone.
    ///   - now: seconds since 1970, to find retries that are due.
    /// - Returns: a batch without changes if nothing may be sent now.
    func compose(limit: Int, bytes: Int, now: Double) throws -> OutgoingBatch {
        let queue = PendingQueue(db: db)
        var rejected: [RejectedChange] = []
        while true {
            let (rows, isAll) = try oldest(limit: limit, now: now, queue)
            if rows.isEmpty { return OutgoingBatch(changes: [], body: [], rejected: rejected) }
            var picked = try pick(
                rows.map { [UniqueSets.Member(row: $0)] }, limit: limit, bytes: bytes)
            let isRetried = rows.contains { $0.reason == PushRules.materializeError }
            if picked.isCut || !isAll || isRetried, catalog.hasUniqueIndexes {
                // Some rows are left out, and they must not be half of an exchange.
                picked = try pickSets(rows, limit: limit, bytes: bytes, now: now)
            }
            for (row, table, rejection) in picked.rejected {
                try queue.reject(table, row.key, rejection)
                rejected.append(RejectedChange(rejection, of: row.key, in: table))
            }
            // If none of these rows can be sent, there may be others in the queue.
            if !picked.rows.isEmpty || picked.rejected.isEmpty {
                let lost = try LostVersions(db: db).isEmpty ? nil : LostVersions(db: db)
                let changes = try picked.rows.map { try take($0, $1, queue, lost) }
                return batch(
                    ordered(changes), cursor: try DeviceStateTable(db: db).cursor(), rejected)
            }
        }
    }

    /// The oldest rows that may be sent, without deletions that others must go before.
    ///
    /// - Returns: also whether these are all that may be sent.
    private func oldest(
        limit: Int, now: Double, _ queue: PendingQueue
    ) throws -> (rows: [PendingRow], isAll: Bool) {
        var rows: [PendingRow] = []
        var deletes = ParentDeletes(db: db, catalog: catalog, now: now)
        var place: Int64 = 0
        while rows.count < limit {
            let room = limit - rows.count
            let page = try queue.sendable(
                after: place, withoutDeletesIn: deletes.tables, limit: room, now: now,
                catalog: catalog)
            let before = deletes.waiting.count
            // After a page that is not full there is nothing to wait for.
            rows +=
                page.count < room && deletes.tables.isEmpty
                ? page : try deletes.hold(in: page, isOneUpload: true)
            // As many as wait may be taken from after the page.
            guard let last = page.last, deletes.waiting.count > before else { break }
            place = last.sequence
        }
        // Tables that refer to each other in a circle.
        if rows.isEmpty { rows = Array(deletes.waiting.prefix(limit)) }
        return (rows, deletes.waiting.isEmpty && rows.count < limit)
    }

    /// Rows for one batch.
    private struct Picked {
        var rows: [(UniqueSets.Member, Content)] = []
        var rejected: [(PendingRow, TableSchema, Rejection)] = []
        /// Whether rows were left out for want of room.
        var isCut = false
        /// Whether the first set is too large by itself.
        var isDivided = false
    }

    private struct Content {
        let table: TableSchema
        let row: RowContent
    }

    private func pickSets(
        _ rows: [PendingRow], limit: Int, bytes: Int, now: Double
    ) throws -> Picked {
        let unique = UniqueSets(db: db, catalog: catalog)
        var sets = try unique.sets(sendable: rows, limit: limit, now: now)
        var deletes = ParentDeletes(db: db, catalog: catalog, now: now)
        let all = sets.flatMap(\.rows).sorted { $0.sequence < $1.sequence }
        _ = try deletes.hold(in: all, isOneUpload: false)
        let waiting = Set(deletes.waiting.map(\.sequence))
        let isLate = sets.map { set in set.rows.contains { waiting.contains($0.sequence) } }
        sets = zip(sets, isLate).filter { !$1 }.map(\.0) + zip(sets, isLate).filter(\.1).map(\.0)
        let picked = try pick(sets.map(\.members), limit: limit, bytes: bytes)
        guard picked.isDivided, let first = sets.first else { return picked }
        return try pick([unique.divisible(first)], limit: limit, bytes: bytes)
    }

    /// Takes sets of rows as long as there is room. A set is not divided, unless it is the first
    /// and too large by itself.
    private func pick(
        _ sets: [[UniqueSets.Member]], limit: Int, bytes: Int
    ) throws -> Picked {
        var picked = Picked()
        var size = 0
        for set in sets {
            var added: [(UniqueSets.Member, Content)] = []
            var addedSize = 0
            for member in set {
                let row = member.row
                guard let table = catalog.table(id: row.tableID) else { continue }
                let content = try content(member, table)
                if case .rejected(let rejection) = content {
                    picked.rejected.append((row, table, rejection))
                    continue
                }
                let cost = cost(of: content, row, table)
                let isFull =
                    picked.rows.count + added.count >= limit || size + addedSize + cost > bytes
                if isFull, !picked.rows.isEmpty || !added.isEmpty {
                    picked.isCut = true
                    picked.isDivided = picked.rows.isEmpty
                    if picked.isDivided { picked.rows = added }
                    return picked
                }
                added.append((member, Content(table: table, row: content)))
                addedSize += cost
            }
            picked.rows += added
            size += addedSize
        }
        return picked
    }

    private func content(
        _ member: UniqueSets.Member, _ table: TableSchema
    ) throws -> RowContent {
        let row = member.row
        // A row can be missing if it was deleted without the triggers noticing.
        return row.operation == .delete
            ? .missing
            : try RowEncoder(db: db).encode(
                table, local: row.local, key: row.key, with: member.standIn ?? [:])
    }

    private func cost(of content: RowContent, _ row: PendingRow, _ table: TableSchema) -> Int {
        var cost = Self.changeOverhead + schema.utf8.count + table.wireName.utf8.count
        cost += row.key.wire.utf8.count
        if case .payload(let bytes) = content { cost += bytes.count }
        return cost
    }

    private func take(
        _ member: UniqueSets.Member, _ content: Content, _ queue: PendingQueue,
        _ lost: LostVersions?
    ) throws -> (SentChange, payload: [UInt8]?) {
        let (row, table) = (member.row, content.table)
        var operation = row.operation
        var payload: [UInt8]?
        if case .payload(let bytes) = content.row { payload = bytes } else { operation = .delete }
        if let standIn = member.standIn {
            return (try take(row, as: standIn, table, queue), payload)
        }
        let last = try queue.sent.records(table, row.key).last
        let same = last.flatMap {
            $0.revision == row.revision && $0.base == row.base && $0.operation == operation
                ? $0 : nil
        }
        // A change needs a new id whenever its content differs from what was sent under the old one
        // (hazard C8).
        let changeID = try same?.changeID ?? DeviceStateTable(db: db).takeChangeID()
        if same == nil {
            try queue.recordSent(
                table, row.key,
                .init(
                    changeID: changeID, revision: row.revision, base: row.base, operation: operation
                ))
        }
        let change = SentChange(
            tableID: table.id, key: row.key, changeID: changeID, revision: row.revision,
            base: row.base,
            operation: operation, lost: try lost?.version(of: row))
        return (change, payload)
    }

    /// Each attempt has a change id of its own, since it may have other values.
    private func take(
        _ row: PendingRow, as standIn: RowValues, _ table: TableSchema, _ queue: PendingQueue
    ) throws -> SentChange {
        let change = SentChange(
            tableID: table.id, key: row.key,
            changeID: try DeviceStateTable(db: db).takeChangeID(),
            revision: SentChange.standInRevision, base: row.base, operation: row.operation)
        let record = SentRecord(
            changeID: change.changeID, revision: change.revision, base: change.base,
            operation: change.operation)
        try queue.recordStandIn(table, row.key, record, image: RowImage.text(of: standIn))
        return change
    }

    /// Parents before children; deletes last, children before parents. Within a table, the queue's
    /// order.
    private func ordered(
        _ changes: [(SentChange, payload: [UInt8]?)]
    ) -> [(SentChange, payload: [UInt8]?)] {
        changes.enumerated().map { offset, change in
            let rank = catalog.rank(ofTable: change.0.tableID)
            let isDelete = change.0.operation == .delete
            return (place: isDelete ? (1, -rank, offset) : (0, rank, offset), change: change)
        }
        .sorted { $0.place < $1.place }
        .map(\.change)
    }

    private func batch(
        _ changes: [(SentChange, payload: [UInt8]?)], cursor: Int64, _ rejected: [RejectedChange]
    ) -> OutgoingBatch {
        var body: [UInt8] = []
        body.append(literal: #"{"last_server_seq_seen":"#)
        body.append(integer: cursor)
        body.append(literal: #","changes":["#)
        for (index, change) in changes.enumerated() {
            if index > 0 { body.append(byte: UInt8(ascii: ",")) }
            append(change.0, change.payload, to: &body)
        }
        body.append(literal: "]}")
        return OutgoingBatch(changes: changes.map(\.0), body: body, rejected: rejected)
    }

    private func append(_ change: SentChange, _ payload: [UInt8]?, to body: inout [UInt8]) {
        body.append(literal: #"{"source_change_id":"#)
        body.append(integer: change.changeID)
        body.append(literal: #","schema":"#)
        body.append(jsonString: schema)
        body.append(literal: #","table":"#)
        body.append(jsonString: catalog.table(id: change.tableID)?.wireName ?? "")
        body.append(literal: #","op":"#)
        body.append(jsonString: change.operation.rawValue)
        body.append(literal: #","pk":"#)
        body.append(jsonString: change.key.wire)
        body.append(literal: #","server_version":"#)
        body.append(integer: change.base)
        if let lost = change.lost {
            body.append(literal: #","lost_version":"#)
            body.append(integer: lost)
        }
        if let payload {
            body.append(literal: #","payload":"#)
            body.append(contentsOf: payload)
        }
        body.append(byte: UInt8(ascii: "}"))
    }
}
