/// A run of uploads, until nothing is left that may be sent.
struct SendRun {
    /// The number of answers in a row without a confirmation after which the run ends, so that a
    /// server that contradicts itself does not keep the device busy.
    static let barrenAnswers = 8

    enum Step: Hashable {
        /// Compose the next upload.
        case go
        /// Send these rows again, because others got through after they were rejected.
        case retry([TableKey])
        case stop
    }

    private var setAside: [TableKey] = []
    private var hasProgressSince = false
    private var barren = 0
    /// Whether the server has taken a change.
    private(set) var hasConfirmed = false

    mutating func answered(
        progress: Int, confirmed: Int, setAside refused: [TableKey], isShrunk: Bool
    ) -> Step {
        barren = confirmed > 0 || isShrunk ? 0 : barren + 1
        if progress > 0 { hasProgressSince = true }
        if confirmed > 0 { hasConfirmed = true }
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
