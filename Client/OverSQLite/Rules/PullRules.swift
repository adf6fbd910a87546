/// Decides what a downloaded change means for a row, from what this device knows.
enum PullRules {
    enum Action: Hashable {
        /// The device already has this version or a later one.
        case skip
        /// Nothing is pending for the row: write the server's state.
        case apply
        /// The change is this device's own and the row was not edited since: it is confirmed.
        case confirm
        /// The change is this device's own and the row was edited since: put the later edits on top
        /// of it.
        case rebase
        /// The row has pending edits that conflict with the change (hazards C5, H2).
        case resolve
        /// The change is this device's own and confirmed already: the server may have stored it
        /// otherwise than it was sent.
        case takeStored
        /// The row's edits were sent and not answered, and this version may be based on them. First
        /// send them again, to learn their outcome.
        case postpone
    }

    /// A row's pending edits: their revision, and what was sent of the row and not answered.
    struct Waiting {
        let revision: Int64
        let sent: [SentRecord]

        /// Whether the pending edits were sent and the server's version may be based on them.
        func mayBeBeneath(_ version: Int64) -> Bool {
            sent.contains { $0.revision == revision && $0.mayBeBeneath(version) }
        }
    }

    /// - Parameter localUntil: the sequence up to which rows keep the values that the app gave them
    ///   for this device only; 0 if it gave none.
    static func decide(
        _ change: RemoteChange, known: KnownRow?, waiting: Waiting?, ownSource: String,
        localUntil: Int64 = 0
    ) -> Action {
        if let known, change.version <= known.version {
            let isOwn = change.version == known.version && change.sourceID == ownSource
            let isLocal = localUntil > 0 && change.sequence <= localUntil
            return isOwn && !isLocal && !known.isDeleted && !change.isDelete ? .takeStored : .skip
        }
        guard let waiting else { return .apply }
        guard change.sourceID == ownSource,
            let own = waiting.sent.first(where: { $0.changeID == change.changeID })
        else { return waiting.mayBeBeneath(change.version) ? .postpone : .resolve }
        return own.revision == waiting.revision ? .confirm : .rebase
    }
}
