import GRDB

/// Who prevails when a row was edited here and elsewhere at the same time.
public enum ConflictPolicy: Sendable {
    /// The server's row replaces the local edit.
    case serverWins
    /// The local row replaces the server's.
    case clientWins
    /// Columns are compared with the row both sides started from: what only one side changed is
    /// kept from that side. `clash` says who prevails in a column that both changed, `deletion`
    /// what happens to a row that one side edited and the other deleted.
    case fieldwise(clash: ConflictSide = .client, deletion: DeletionRule = .editWins)
    /// The app decides, also where both sides have edited a column to the same value. A thrown
    /// error sets this one row aside as rejected, with the error as its reason.
    case resolver(@Sendable (Conflict) throws -> ConflictResolution)
}

/// One of the two sides of a conflict.
public enum ConflictSide: Sendable, Hashable {
    /// The device's.
    case client
    /// The server's: what another device, or a back end, wrote first.
    case server
}

/// What happens to a row that one side edited and the other deleted.
public enum DeletionRule: Sendable, Hashable {
    /// The edit brings the row back, so that no typed word is lost.
    case editWins
    /// The row stays deleted.
    case deletionWins
}

/// A conflict put before the app. Values are keyed by lower-case column name; nil means a deleted
/// row.
public struct Conflict: Sendable {
    /// The table's name in SQLite.
    public let table: String
    /// The key as this device's row spells it.
    public let key: DatabaseValue
    /// The row both sides started from; nil if it is not known, as after two inserts of one key.
    public let base: [String: DatabaseValue]?
    /// The row on this device.
    public let local: [String: DatabaseValue]?
    /// The row on the server.
    public let server: [String: DatabaseValue]?

    /// The row with what each side changed; of a column that both changed, the value of the side
    /// named. nil where a side has deleted the row. A resolver begins with it to settle one column
    /// and leave the others be.
    public func merged(clash: ConflictSide = .client) -> [String: DatabaseValue]? {
        FieldMerge(base: base, local: local, server: server).mergedRow(clash)?.values
    }
}

/// The app's decision.
public enum ConflictResolution: Sendable {
    /// Take the server's row.
    case server
    /// Send the local row, or the local deletion, over the server's.
    case client
    /// Settle it as ``ConflictPolicy/fieldwise(clash:deletion:)`` does.
    case fieldwise(clash: ConflictSide = .client, deletion: DeletionRule = .editWins)
    /// Write and send these values, by column name; columns not named keep the server's value. A
    /// name that is no column of the table's counts as a failed resolver.
    case merged([String: DatabaseValue])
    /// Delete the row on both sides.
    case delete
}

/// A conflict that was settled.
public struct ConflictReport: Sendable, Hashable {
    /// What the row is now.
    public enum Outcome: String, Sendable, Hashable {
        /// The server's row stands here too; the local edit is gone.
        case tookServer = "took_server"
        /// The local row goes out over the server's.
        case keptClient = "kept_client"
        /// Both sides' edits are in the row, which goes out.
        case merged
        /// The row was removed with its parent, which the server deleted; `lost` holds the local
        /// edit.
        case removedWithParent = "removed_with_parent"
    }

    /// The table's name in SQLite.
    public let table: String
    /// The key as it travels: a dashed lower-case UUID, or the text key.
    public let key: String
    /// What became of the row.
    public let outcome: Outcome
    /// Lower-case names of the columns that both sides had changed, in alphabetical order.
    public let columns: [String]
    /// The local values that no longer stand, by column; empty if nothing was given up.
    public let lost: [String: DatabaseValue]
}
