import SeededRandom

/// What one device writes: batches of changes to rows of its own, from a seed.
///
/// It keeps the versions that the answers name, as a device does, so that what it sends is applied unless the
/// back end was there first.
package struct WriterScript: Sendable {
    /// Changes of one upload.
    static let batch = 1...200
    /// Live rows that a device remembers; it writes to older ones no more.
    private static let rememberedRows = 400
    /// Of a hundred changes.
    private static let inserts = 60
    private static let updates = 28

    private struct Own {
        let row: GapRow
        let item: GapRow?
        var version: Int64
    }

    let owner: UInt16
    let writer: UInt16
    private var random: SeededGenerator
    private var lastID: Int64 = 0
    private var lastRow: UInt32 = 0
    /// Live rows, the oldest first.
    private var rows: [Own] = []

    package init(owner: UInt16, writer: UInt16, seed: UInt64) {
        self.owner = owner
        self.writer = writer
        random = SeededGenerator(seed: seed &+ UInt64(owner) << 32 &+ UInt64(writer))
    }

    // MARK: - Writing

    /// The next upload. Sizes vary: small ones are as frequent as all large ones together.
    package mutating func nextBatch() -> [WriterChange] {
        let largest = Bool.random(using: &random) ? Self.batch.upperBound : 8
        let size = Int.random(in: 1...largest, using: &random)
        var batch: [WriterChange] = []
        // What the batch makes of a row: the version it then has, nil for a deleted one.
        var touched: [GapRow: Int64?] = [:]
        while batch.count < size {
            lastID += 1
            let dice = Int.random(in: 0..<100, using: &random)
            if dice >= Self.inserts, let own = rows.randomElement(using: &random),
                let version = touched[own.row] ?? .some(own.version),
                own.item.map({ touched[$0] != .some(nil) }) ?? true
            {
                let isUpdate = dice < Self.inserts + Self.updates
                touched[own.row] = .some(isUpdate ? version + 1 : nil)
                batch.append(
                    WriterChange(
                        id: lastID, kind: isUpdate ? .update : .delete, row: own.row,
                        item: own.item, base: version))
            } else {
                batch.append(insertion(touched))
            }
        }
        return batch
    }

    /// A last upload of one change that nothing can stand against.
    package mutating func lastBatch() -> [WriterChange] {
        lastID += 1
        return [insertion([:])]
    }

    /// A new item, or a new part of an item that the batch lets live.
    private mutating func insertion(_ touched: [GapRow: Int64?]) -> WriterChange {
        lastRow += 1
        var item: GapRow?
        if let own = rows.randomElement(using: &random), Bool.random(using: &random) {
            let candidate = own.item ?? own.row
            let isRemembered = rows.contains { $0.row == candidate }
            if isRemembered, touched[candidate] != .some(nil) { item = candidate }
        }
        let row = GapRow(
            item == nil ? .items : .parts, owner: owner, writer: writer, number: lastRow,
            low: random.next())
        return WriterChange(id: lastID, kind: .insert, row: row, item: item, base: 0)
    }

    // MARK: - Reading the answer

    /// What came of a batch.
    package struct Settled: Hashable, Sendable {
        package var applied: [Int64] = []
        package var conflicts = 0
        /// Parts that went with their items, which no device has told the server to delete.
        package var cascaded = 0
    }

    /// - Throws: an answer that no change of this script may get.
    package mutating func settle(
        _ batch: [WriterChange], _ outcomes: [WriterOutcome]
    ) throws(UnexpectedAnswer) -> Settled {
        guard batch.count == outcomes.count else {
            throw UnexpectedAnswer(
                text: "\(outcomes.count) statuses for \(batch.count) changes")
        }
        var settled = Settled()
        var deletedItems: Set<GapRow> = []
        for (change, outcome) in zip(batch, outcomes) {
            switch outcome {
            case .applied(let version):
                settled.applied.append(change.id)
                take(change, version)
                if change.kind == .delete, change.item == nil { deletedItems.insert(change.row) }
            case .conflict(let version, let isDeleted):
                settled.conflicts += 1
                if isDeleted { forget(change.row) } else { correct(change.row, version) }
            case .other(let text): throw UnexpectedAnswer(text: text)
            }
        }
        let before = rows.count
        rows.removeAll { own in own.item.map(deletedItems.contains) ?? false }
        settled.cascaded = before - rows.count
        forgetOldFamilies()
        return settled
    }

    /// Items go with all their parts, so that no item that may still be deleted has an uncounted part.
    private mutating func forgetOldFamilies() {
        while rows.count > Self.rememberedRows, let oldest = rows.first {
            let root = oldest.item ?? oldest.row
            rows.removeAll { $0.row == root || $0.item == root }
        }
    }

    private mutating func take(_ change: WriterChange, _ version: Int64) {
        switch change.kind {
        case .insert: rows.append(Own(row: change.row, item: change.item, version: version))
        case .update: correct(change.row, version)
        case .delete: forget(change.row)
        }
    }

    private mutating func correct(_ row: GapRow, _ version: Int64) {
        guard let index = rows.lastIndex(where: { $0.row == row }) else { return }
        rows[index].version = version
    }

    private mutating func forget(_ row: GapRow) { rows.removeAll { $0.row == row } }
}

/// An answer that the changes of the gap checker must not get.
package struct UnexpectedAnswer: Error, Hashable, Sendable, CustomStringConvertible {
    package let text: String
    package var description: String { "an upload was answered: \(text)" }
}
