/// What a change of the feed means for a row, decided from what this device knows.
enum PullRules {
    enum Action: Hashable {
        /// This version, or a later one, is here already.
        case skip
        /// Nothing waits for the row: the server's state is written.
        case apply
        /// This device's own write, and the row has not been edited since: it is confirmed.
        case confirm
        /// This device's own write, and the row was edited since: the edits go on top of it.
        case rebase
        /// The row waits with edits of its own (hazards C5, H2).
        case resolve
        /// The row's edits were sent, nobody answered, and this version may have been made on top
        /// of them: what became of them is asked first, by sending them once more.
        case postpone
    }

    /// What waits for a row: its revision, and what was sent of it and never answered.
    struct Waiting {
        let revision: Int64
        let sent: [SentRecord]

        /// Whether the row as it waits was sent, and may be beneath the server's version.
        func mayBeBeneath(_ version: Int64) -> Bool {
            sent.contains { $0.revision == revision && $0.mayBeBeneath(version) }
        }
    }

    static func decide(
        _ change: RemoteChange, known: KnownRow?, waiting: Waiting?, ownSource: String
    ) -> Action {
        if let known, change.version <= known.version { return .skip }
        guard let waiting else { return .apply }
        guard change.sourceID == ownSource,
            let own = waiting.sent.first(where: { $0.changeID == change.changeID })
        else { return waiting.mayBeBeneath(change.version) ? .postpone : .resolve }
        return own.revision == waiting.revision ? .confirm : .rebase
    }
}
