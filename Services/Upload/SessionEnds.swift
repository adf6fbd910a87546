import Postgres

/// What an upload knows of rows whose statements end PostgreSQL's session, as where a trigger
/// calls `pg_terminate_backend` for its own, or crashes.
///
/// The transaction goes with the session, so that savepoints cannot find such a row: each end
/// tells in which stretch of the batch it stands, and the next attempt cuts that in two.
///
/// ```
/// 8 rows, the 6th ends the session   1-8 end (four times)   1-4 5-8 end   5-6 end   6 end (3)
/// ```
///
/// An administrator or a failover ends sessions, too. So the first ends blame no row, and a row is
/// rejected only after ``endsAlone`` ends by itself, each while a session that writes nothing lives
/// on. A value without a clock: its caller passes the time.
struct SessionEnds: Sendable {
    /// Ends of the whole upload that may be somebody else's doing.
    static let coincidences = 3
    /// Ends by a row that was written by itself, until it is rejected.
    static let endsAlone = 3
    /// Rows of one table that are rejected, until the others of the table are postponed if the
    /// session ends again: the table may be the cause.
    static let rejectionsOfTable = 3
    /// Ends after which no stretch is cut any more: its rows are postponed. More than finding two
    /// rows among the most that an upload has by default takes.
    static let maximum = 32
    /// Of the request's time, the share after which the same holds.
    private static let shareOfSearch = 0.5
    /// Seconds for which another session must live on, after one has ended with a row by itself.
    static let secondsOfRest = 0.2
    /// Between attempts.
    static let pause: Duration = .milliseconds(20)

    /// Sessions that ended.
    private(set) var count = 0
    /// Changes that are rejected, by their place in the batch.
    private(set) var rejected: Set<Int> = []
    /// Changes that no time is left for.
    private(set) var postponed: Set<Int> = []
    /// Whether changes that only fit together may be looked for, which crosses the cuts.
    private(set) var allowsSets = true
    private var cuts: Set<Int> = []
    private var alone: [Int: Int] = [:]
    /// Rejected changes by table.
    private var rejections: [Int: Int] = [:]
    private let searchEnd: ContinuousClock.Instant

    init(from start: ContinuousClock.Instant, until deadline: ContinuousClock.Instant) {
        searchEnd = start + (deadline - start) * Self.shareOfSearch
    }

    /// The stretches of a batch that are written one after the other.
    func parts(of count: Int) -> [Range<Int>] {
        let cuts = cuts.filter { $0 > 0 && $0 < count }.sorted()
        return zip([0] + cuts, cuts + [count]).map { $0..<$1 }
    }

    /// Why a change is not tried any more; nil if it is.
    func refusal(at position: Int) -> RowRefusal? {
        if rejected.contains(position) { return .endsSession }
        return postponed.contains(position) ? .outOfTime : nil
    }

    /// A session has ended while a stretch was written.
    mutating func record(_ end: SessionEnd, now: ContinuousClock.Instant) {
        count += 1
        if end.isOfSets { allowsSets = false }
        guard count > Self.coincidences, !end.isOfSets else { return }
        if end.range.count == 1 { return recordAlone(end) }
        let isOver = count > Self.maximum || now > searchEnd
        let least = isOver ? 1 : Self.rejectionsOfTable
        let suspects = zip(end.range, end.tables).filter { position, table in
            rejections[table, default: 0] >= least && refusal(at: position) == nil
        }
        if !suspects.isEmpty {
            postponed.formUnion(suspects.map(\.0))
        } else if isOver {
            postponed.formUnion(end.range)
        } else {
            cuts.insert(end.middle)
        }
    }

    private mutating func recordAlone(_ end: SessionEnd) {
        let position = end.range.lowerBound
        alone[position, default: 0] += 1
        guard alone[position] == Self.endsAlone else { return }
        rejected.insert(position)
        for table in end.tables { rejections[table, default: 0] += 1 }
        allowsSets = true
    }
}

/// PostgreSQL's session ended while a part of a batch was written.
struct SessionEnd: Error, Equatable {
    /// The part, by the places of its changes in the batch.
    let range: Range<Int>
    /// The table of each of them.
    let tables: [Int]
    /// Where it may be cut; within it, if it has more than one change.
    let middle: Int
    /// Changes that only fit together were looked for, beyond the part perhaps.
    var isOfSets = false
}
