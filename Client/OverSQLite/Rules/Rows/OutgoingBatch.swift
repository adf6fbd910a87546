/// A change as it goes out; enough to deal with its answer.
struct SentChange {
    let tableID: Int64
    let key: DeviceRowKey
    let changeID: Int64
    let revision: Int64
    let base: Int64
    let operation: CapturedOperation
}

/// One upload: its changes and the body that says them.
struct OutgoingBatch {
    /// None if there was nothing to send.
    let changes: [SentChange]
    let body: [UInt8]
    /// Rows that turned out to have no form on the wire.
    var rejected: [RejectedChange] = []
}
