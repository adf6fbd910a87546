import Foundation
import Model
import ServiceKit
import Synchronization
import WireJSON

/// The last conflicts that this process has answered, for administrators: devices resolve them, and
/// no table keeps them. It holds keys, and no values of rows.
final class ConflictMemory: Sendable {
    /// Conflicts that are kept; older ones are dropped.
    static let capacity = 200

    struct Entry: Hashable, Sendable {
        let at: Date
        let user: String
        let device: String
        let table: TableName
        let key: String
        /// The version that the device edited.
        let base: RowVersion
        /// The version that the server has, and whose it is.
        let version: RowVersion
        let isDeleted: Bool
        let otherDevice: String
    }

    private let replica: String
    private let began = Date()
    private let entries = Mutex<[Entry]>([])

    init(replica: String) { self.replica = replica }

    /// - Parameter device: whose changes the batch has.
    func add(_ result: UploadResult, of batch: UploadBatch, from user: String, _ device: String) {
        var found: [Entry] = []
        let now = Date()
        for change in batch.changes where result.outcomes.indices.contains(change.index) {
            guard case .conflict(let row) = result.outcomes[change.index] else { continue }
            found.append(
                Entry(
                    at: now, user: user, device: device, table: row.table, key: row.key.text,
                    base: change.base, version: row.version, isDeleted: row.isDeleted,
                    otherDevice: row.device))
        }
        entries.withLock { entries in
            entries += found
            entries.removeFirst(max(0, entries.count - Self.capacity))
        }
    }

    /// The newest first.
    var document: JSONDocument {
        let entries = entries.withLock { $0 }
        return [
            "replica": .string(replica), "since": .string(began.formatted(.iso8601)),
            "conflicts": .array(
                entries.reversed().map { entry in
                    [
                        "at": .string(entry.at.formatted(.iso8601)), "user_id": .string(entry.user),
                        "source_id": .string(entry.device), "schema": .string(entry.table.schema),
                        "table": .string(entry.table.table), "pk": .string(entry.key),
                        "base_version": .integer(entry.base),
                        "server_version": .integer(entry.version),
                        "server_deleted": .bool(entry.isDeleted),
                        "other_source_id": .string(entry.otherDevice),
                    ]
                }),
        ]
    }
}
