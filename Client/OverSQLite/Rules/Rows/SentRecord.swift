/// A change as it was sent, until its answer has been dealt with.
struct SentRecord {
    let changeID: Int64
    let revision: Int64
    let base: Int64
    let operation: CapturedOperation

    /// Whether a version of somebody else's may have been made on top of this change: were it
    /// applied, the server would have the version after the base.
    func mayBeBeneath(_ version: Int64) -> Bool { version > base + 1 }
}
