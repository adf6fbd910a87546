import Model
import NIOCore
import Sidecar

/// Which uploads of a group are read together: those that do not meet.
///
/// A part is a stretch of the group, in its order. No upload of a part reads what another one of it
/// writes:
///
/// - They come from different devices, so none has a change id that another one has used.
/// - They write different rows, and none needs a parent that another one brings.
/// - None deletes rows that other rows may point to. None writes to a table with triggers of the
///   team, or to one that foreign keys point to by other columns than its key and owner: writes of
///   such tables may concern other rows.
///
/// Should such a row cause changes all the same, the transaction fails, and each upload is written
/// alone. An upload without any of this is a part of its own.
///
/// Whether PostgreSQL takes a row may depend on the order of the writes all the same, as of values
/// that are unique: see ``MergedChanges/isInAnyOrder(in:)``.
struct GroupParts {
    private(set) var parts: [Range<Int>] = []
    private var devices: Set<DeviceID> = []
    private var rows: Set<RowID> = []
    private var provided: Set<ParentReference> = []
    /// Whether the last part may have more uploads.
    private var isOpen = false
    private var count = 0

    /// - Parameter uploads: of one schema.
    init(_ uploads: [(device: DeviceID, batch: UploadBatch)]) {
        for (device, batch) in uploads { append(device, batch) }
    }

    private mutating func append(_ device: DeviceID, _ batch: UploadBatch) {
        let isPlain = Self.isPlain(batch)
        if isOpen, isPlain, !meets(device, batch) {
            parts[parts.count - 1] = parts[parts.count - 1].lowerBound..<count + 1
        } else {
            parts.append(count..<count + 1)
            (devices, rows, provided) = ([], [], [])
            isOpen = isPlain
        }
        count += 1
        guard isOpen else { return }
        devices.insert(device)
        for change in batch.changes {
            rows.insert(change.row)
            provided.formUnion(change.provides)
        }
    }

    private func meets(_ device: DeviceID, _ batch: UploadBatch) -> Bool {
        devices.contains(device)
            || batch.changes.contains { change in
                rows.contains(change.row) || change.needs.contains(where: provided.contains)
            }
    }

    private static func isPlain(_ batch: UploadBatch) -> Bool {
        batch.changes.allSatisfy { change in
            let table = batch.schema.tables[change.table]
            return table.isPlain && (change.operation != .delete || table.isLeaf)
        }
    }
}

/// What must be written of an upload of a group.
struct GroupWrite {
    let transaction: UploadTransaction
    let entries: [LogEntry]
    /// The number of its device.
    let source: Int32
}

/// Changes of several uploads as those of one.
struct MergedChanges {
    private(set) var changes: [Change] = []
    /// What must be written for them.
    private(set) var entries: [LogEntry] = []
    /// The numbers of their devices, by the place of the change.
    private(set) var sources: [Int32] = []
    /// The bytes of their payloads.
    private(set) var body = ByteBuffer()

    init(_ writes: [GroupWrite]) {
        let batches = writes.map(\.transaction.batch)
        changes.reserveCapacity(batches.reduce(0) { $0 + $1.changes.count })
        entries.reserveCapacity(writes.reduce(0) { $0 + $1.entries.count })
        body.reserveCapacity(batches.reduce(0) { $0 + $1.body.readableBytes })
        for (batch, write) in zip(batches, writes) {
            let (firstChange, firstByte) = (changes.count, body.readableBytes)
            batch.body.withBytes { _ = body.writeBytes($0) }
            for change in batch.changes {
                let payload = change.payload.map {
                    $0.lowerBound + firstByte..<$0.upperBound + firstByte
                }
                changes.append(payload.map(change.with(payload:)) ?? change)
                sources.append(write.source)
            }
            for entry in write.entries { entries.append(entry.moved(by: firstChange)) }
        }
    }

    /// Whether set-wise statements for all uploads give the same result as those of one upload
    /// after the other: there is one for each table, no row needs a parent that its payload does
    /// not name, and no row takes a unique value that another one gives up. New rows give up none:
    /// if PostgreSQL takes all of them, it takes them in any order.
    func isInAnyOrder(in schema: UploadSchema) -> Bool {
        let statements = BusinessWrites(changes: changes, entries: entries, schema: schema).groups
        return Set(statements.map(\.table)).count == statements.count
            && statements.allSatisfy { statement in
                let table = schema.tables[statement.table]
                return !table.hasUnnamedParents
                    && (!table.comparesRows || statement.kind == .create)
            }
    }
}

extension LogEntry {
    /// The same of a change that stands further back.
    fileprivate func moved(by places: Int) -> LogEntry {
        LogEntry(
            change: change + places, sequence: sequence, version: version,
            isCreation: isCreation, isFirst: isFirst, time: time)
    }
}
