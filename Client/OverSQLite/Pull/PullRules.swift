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
        case settle
    }

    /// What waits for a row: its revision, and the revisions sent under which change ids.
    struct Waiting {
        let revision: Int64
        let sent: [Int64: Int64]
    }

    static func decide(
        _ change: RemoteChange, known: KnownRow?, waiting: Waiting?, ownSource: String
    ) -> Action {
        if let known, change.version <= known.version { return .skip }
        guard let waiting else { return .apply }
        guard change.sourceID == ownSource, let revision = waiting.sent[change.changeID] else {
            return .settle
        }
        return revision == waiting.revision ? .confirm : .rebase
    }
}
