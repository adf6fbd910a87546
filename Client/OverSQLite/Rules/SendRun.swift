/// One run of uploads, from a full queue to one with nothing more to send.
struct SendRun {
    /// Answers in a row that confirm nothing, after which the run ends: a server that contradicts
    /// itself must not keep a device busy.
    static let barrenAnswers = 8

    enum Step: Hashable {
        /// Compose the next upload.
        case go
        /// Try these rows once more, since others got through after they were refused.
        case retry([TableKey])
        case stop
    }

    private var setAside: [TableKey] = []
    private var hasProgressSince = false
    private var barren = 0

    mutating func answered(
        progress: Int, confirmed: Int, setAside refused: [TableKey], isShrunk: Bool
    ) -> Step {
        barren = confirmed > 0 || isShrunk ? 0 : barren + 1
        if progress > 0 { hasProgressSince = true }
        setAside.append(contentsOf: refused)
        return barren < Self.barrenAnswers ? .go : .stop
    }

    /// Nothing is left that may be sent now.
    mutating func emptied() -> Step {
        guard hasProgressSince, !setAside.isEmpty else { return .stop }
        hasProgressSince = false
        defer { setAside = [] }
        return .retry(setAside)
    }
}
