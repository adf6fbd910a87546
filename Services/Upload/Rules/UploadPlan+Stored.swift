import Model
import Sidecar

/// Conflicts with rows that the same upload has written.
extension UploadPlan {
    /// The sequences of such rows whose tables may have stored them otherwise than they were sent.
    var ownSequencesShown: [Sequence64] {
        outcomes.compactMap { outcome in
            guard case .conflict(let row)? = outcome, let sequence = row.ownSequence,
                !row.isDeleted, mayStoreOtherwise(row.table)
            else { return nil }
            return sequence
        }
    }

    /// Shows the stored row instead of what was sent.
    mutating func show(_ payloads: [Sequence64: [UInt8]]) {
        if payloads.isEmpty { return }
        for (index, outcome) in outcomes.enumerated() {
            guard case .conflict(var row)? = outcome, let sequence = row.ownSequence,
                let payload = payloads[sequence]
            else { continue }
            row.payload = payload
            conclude(index, as: .conflict(row))
        }
    }
}
