/// How far a standby is behind its primary, by the positions that both have shown at each look. No
/// two machines' clocks are compared, and an idle primary is never behind itself.
struct ReplayLag: Hashable, Sendable {
    typealias Instant = ContinuousClock.Instant

    /// A position that the primary had reached.
    private struct Mark: Hashable {
        let at: Instant
        let position: Int64
    }

    /// Marks that are kept. Of more, the one goes that is closest to its neighbours.
    private static let maximumMarks = 64

    /// Those that the standby has not reached, oldest first.
    private var marks: [Mark] = []
    /// Bytes of the write-ahead log at the last look.
    private(set) var bytes: Int64 = 0
    /// Time since the primary was seen at a position that the standby lacked at the last look. The
    /// lag is up to one pause between two looks longer.
    private(set) var time: Duration = .zero

    /// - Parameters:
    ///   - primary: its position, asked for first.
    ///   - standby: what it had replayed after that.
    mutating func record(primary: Int64, standby: Int64, at now: Instant) {
        marks.removeAll { $0.position <= standby }
        if primary > standby, primary > marks.last?.position ?? .min {
            if marks.count >= Self.maximumMarks {
                let least = (1..<marks.count - 1).min { gap(around: $0) < gap(around: $1) }
                if let least { marks.remove(at: least) }
            }
            marks.append(Mark(at: now, position: primary))
        }
        bytes = max(0, primary - standby)
        time = marks.first.map { now - $0.at } ?? .zero
    }

    private func gap(around place: Int) -> Duration { marks[place + 1].at - marks[place - 1].at }
}
