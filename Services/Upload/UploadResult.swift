import Model
import Postgres
import Sidecar

/// A user's log whose lock was granted, and what was read under it.
struct OpenLog: Sendable {
    let scope: NamedScope
    /// The number of the device that uploads.
    let source: Int32
    let reading: UploadReading
    let end: HistoryEnd
    /// See ``UploadResult/hasHole``.
    let hasHole: Bool
}

/// What an upload came to.
struct UploadResult: Sendable {
    let outcomes: [ChangeVerdict]
    let duplicates: Int
    /// The user's last sequence now.
    let highestSequence: Sequence64
    /// The last change now; nil where its tag is not known and the device does not ask for it, and
    /// where there is none.
    let end: HistoryPair?
    /// The log lacks the change that the device named, and nothing says why.
    let hasHole: Bool
    /// Whether readers of the log may not know yet of what the answer acknowledges: also what a
    /// repeat finds committed may never have been announced, as where the first answer was lost.
    var mayBeNews: Bool { sequences != nil || duplicates > 0 }
    /// Sequences that this upload took; nil if it took none.
    let sequences: ClosedRange<Sequence64>?
    /// Tables that took no rows at all, and why.
    var blockedTables: [TableName: SQLState] = [:]
    /// The first attempt went well, and PostgreSQL took every row of it.
    var isPlain = true

    /// - Parameter head: where the log ends now: beyond the upload's own changes where its writes
    ///   caused others.
    init(plan: UploadPlan, log: OpenLog, head: LogHead) {
        let reading = log.reading
        hasHole = log.hasHole
        end = head.pair
        outcomes = AnswerRoom.fitting(plan.outcomes.map { $0 ?? .aborted })
        duplicates = plan.duplicates
        highestSequence = head.sequence
        sequences =
            plan.lastSequence > reading.lastSequence
            ? reading.lastSequence + 1...plan.lastSequence : nil
    }
}
