import GRDB

/// How to resolve a conflict: an edit of a row that was also changed on the server since the
/// version that the device edited.
public enum ConflictPolicy: Sendable {
    /// The server's row replaces the local edit.
    case serverWins
    /// The local row replaces the server's.
    case clientWins
    /// Merges by column. Each column keeps the value of the side that changed it since the version
    /// both sides started from. `clash` names the side that wins in a column that both changed.
    /// `deletion` decides about a row that one side edited and the other deleted.
    case fieldwise(clash: ConflictSide = .client, deletion: DeletionRule = .editWins)
    /// The app decides. The resolver is also called if both sides changed a column to the same
    /// value. If it throws, this one change is rejected with the error as its message (reason
    /// `resolver_failed`).
    case resolver(@Sendable (Conflict) throws -> ConflictResolution)
}

/// One of the two sides of a conflict.
public enum ConflictSide: Sendable, Hashable {
    /// This device.
    case client
    /// The server: what another device or a back end wrote first.
    case server
}

/// What happens to a row that one side edited and the other deleted.
public enum DeletionRule: Sendable, Hashable {
    /// The edit brings the row back, so that nothing a person typed is lost.
    case editWins
    /// The row stays deleted.
    case deletionWins
}

/// A conflict for the app to resolve. Rows are values by lower-case column name.
public struct Conflict: Sendable {
    /// The table's name in SQLite.
    public let table: String
    /// The row's key, spelled as in this device's row.
    public let key: DatabaseValue
    /// The row both sides started from; nil if it is unknown, for example after both sides inserted
    /// the same key.
    public let base: [String: DatabaseValue]?
    /// The row on this device; nil if it was deleted here.
    public let local: [String: DatabaseValue]?
    /// The row on the server; nil if it was deleted there.
    public let server: [String: DatabaseValue]?

    /// Merges both sides' edits by column. Returns nil if one side deleted the row. A resolver can
    /// start from the result, change one column, and leave the others as they are.
    ///
    /// - Parameter clash: the side whose value is used in a column that both sides changed.
    public func merged(clash: ConflictSide = .client) -> [String: DatabaseValue]? {
        FieldMerge(base: base, local: local, server: server).mergedRow(clash)?.values
    }
}

/// How to resolve one conflict.
public enum ConflictResolution: Sendable {
    /// Take the server's row.
    case server
    /// Send the local row, or the local deletion, and overwrite the server's.
    case client
    /// Merge like ``ConflictPolicy/fieldwise(clash:deletion:)``.
    case fieldwise(clash: ConflictSide = .client, deletion: DeletionRule = .editWins)
    /// Write and send these values, by column name. Other columns keep the server's value. A name
    /// that is not a column of the table counts as an error of the resolver.
    case merged([String: DatabaseValue])
    /// Delete the row on both sides.
    case delete
}

/// How a conflict was resolved.
public struct ConflictReport: Sendable, Hashable {
    /// What happened to the row.
    public enum Outcome: String, Sendable, Hashable {
        /// The row became the server's. The local edit is gone.
        case tookServer = "took_server"
        /// The local row is sent and overwrites the server's.
        case keptClient = "kept_client"
        /// The row has the edits of both sides and is sent.
        case merged
        /// The row was removed together with its parent, which the server had deleted. `lost` holds
        /// the row's values.
        case removedWithParent = "removed_with_parent"
    }

    /// The table's name in SQLite.
    public let table: String
    /// The key as it is sent: a lower-case UUID with dashes, or the text key.
    public let key: String
    /// What happened to the row.
    public let outcome: Outcome
    /// Lower-case names of the columns that both sides had changed, in alphabetical order.
    public let columns: [String]
    /// Values of this device that the row no longer has, by lower-case column name. Empty if
    /// nothing was lost.
    public let lost: [String: DatabaseValue]
}
