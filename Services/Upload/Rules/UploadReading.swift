import Model

/// What the database held about a batch when the user's scope was locked. The plan rests on nothing
/// else.
package struct UploadReading: Sendable {
    /// The last sequence in the user's change log.
    package var lastSequence: Sequence64
    /// When the log was locked, by the database's clock: the time of what is added to it, in
    /// microseconds since 2000.
    package var time: Int64
    /// The changes in the log under the ids that this device sent.
    package var known: [ChangeID: [KnownChange]]
    /// The rows concerned that the sidecar has.
    package var rows: [RowID: RowFact]
    /// The parent rows that exist.
    package var parents: Set<ParentReference>
    /// What the user has of what quotas limit; nil where none does.
    package var usage: Usage?

    package init(
        lastSequence: Sequence64 = 0, time: Int64 = 0, known: [ChangeID: [KnownChange]] = [:],
        rows: [RowID: RowFact] = [:], parents: Set<ParentReference> = [], usage: Usage? = nil
    ) {
        self.lastSequence = lastSequence
        self.time = time
        self.known = known
        self.rows = rows
        self.parents = parents
        self.usage = usage
    }
}

/// A change that the log has under this device's number.
package struct KnownChange: Hashable, Sendable {
    package let sequence: Sequence64
    package let version: RowVersion
    package let contentHash: Int64

    package init(sequence: Sequence64, version: RowVersion, contentHash: Int64) {
        self.sequence = sequence
        self.version = version
        self.contentHash = contentHash
    }
}

/// What a row is.
package struct RowFact: Hashable, Sendable {
    package let version: RowVersion
    /// The sequence of its newest change.
    package let sequence: Sequence64
    package let isDeleted: Bool
    package let writer: Writer
    /// The bytes that it counts with in its user's use; nil if it does not count.
    package let countedBytes: Int64?

    /// Where the row's present content came from.
    package enum Writer: Hashable, Sendable {
        /// The log. The writer is there whenever the batch has a change that is not based on this
        /// version.
        case stored(StoredWriter?)
        /// A change of this very batch, as an index into it.
        case batch(Int)
    }

    package init(
        version: RowVersion, sequence: Sequence64, isDeleted: Bool, writer: Writer,
        countedBytes: Int64? = nil
    ) {
        self.countedBytes = countedBytes
        self.version = version
        self.sequence = sequence
        self.isDeleted = isDeleted
        self.writer = writer
    }
}

/// The change that made a row what it is, as the answer to a conflict shows it.
package struct StoredWriter: Hashable, Sendable {
    package let payload: [UInt8]?
    package let device: String
    package let changeID: ChangeID
    package let timestamp: String

    package init(payload: [UInt8]?, device: String, changeID: ChangeID, timestamp: String) {
        self.payload = payload
        self.device = device
        self.changeID = changeID
        self.timestamp = timestamp
    }
}
