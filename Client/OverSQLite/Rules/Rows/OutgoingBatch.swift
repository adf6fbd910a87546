/// A change that was sent, with what is needed to process its answer.
struct SentChange {
    let tableID: Int64
    let key: DeviceRowKey
    let changeID: Int64
    let revision: Int64
    let base: Int64
    let operation: CapturedOperation
    /// The version of the row that the server has lost; nil if it has lost none.
    var lost: Int64?

    /// The revision of a change that is not the row as it is here. No touch has this number, so
    /// that the row remains to be sent.
    static let standInRevision: Int64 = 0
    /// Whether other unique values were sent for a while.
    var isStandIn: Bool { revision == Self.standInRevision }
}

/// An upload: its changes and the request body.
struct OutgoingBatch {
    /// Empty if there was nothing to send.
    let changes: [SentChange]
    let body: [UInt8]
    /// Rows that cannot be represented on the wire.
    var rejected: [RejectedChange] = []
    /// What the device knows of the server's history.
    var history: HistoryPair?
}
