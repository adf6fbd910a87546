/// A change that was sent and whose answer has not been processed.
struct SentRecord {
    let changeID: Int64
    let revision: Int64
    let base: Int64
    let operation: CapturedOperation

    /// Whether another writer's version may be based on this change. If the change was applied, its
    /// version was base + 1.
    func mayBeBeneath(_ version: Int64) -> Bool { version > base + 1 }
}
