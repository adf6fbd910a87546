/// What can be said when the reading is over.
extension FeedCheck {
    /// The reading is over.
    ///
    /// - Parameters:
    ///   - head: the log's last sequence.
    ///   - reference: what a reader of everything got; nil for that reader itself.
    package mutating func finish(head: Int64, reference: FeedCheck? = nil) {
        var missing: ClosedRange<Int64>?
        for sequence in 1...max(1, head) where sequence <= head {
            if isOwed(sequence, reference) {
                missing = (missing?.lowerBound ?? sequence)...sequence
            } else if let gap = missing {
                note(.gap(gap))
                missing = nil
            }
            if let reference, maker(sequence) != 0, reference.maker(sequence) != 0,
                marks[Int(sequence - 1)] != reference.marks[Int(sequence - 1)]
            {
                note(.different(sequence))
            }
        }
        if let missing { note(.gap(missing)) }
        if last > head { note(.end(last, head: head)) }
    }

    /// Whether a sequence has not come and should have.
    private func isOwed(_ sequence: Int64, _ reference: FeedCheck?) -> Bool {
        guard maker(sequence) == 0 else { return false }
        guard let own, let reference, let index = indexes[own] else { return true }
        return Int(reference.maker(sequence)) != index + 1
    }

    private func maker(_ sequence: Int64) -> UInt8 {
        sequence <= last ? makers[Int(sequence - 1)] : 0
    }

    /// Compares the devices' changes with those that were answered `applied`.
    package mutating func compare(applied: [String: IDSet]) {
        for (index, source) in sources.enumerated() where !source.isEmpty && source != own {
            let answered = applied[source] ?? IDSet()
            if let id = answered.first(notIn: ids[index]) {
                note(.lost(source: source, changeID: id))
            }
            if let id = ids[index].first(notIn: answered) {
                note(.unanswered(source: source, changeID: id))
            }
        }
    }

    /// Compares the rows that are left with the business tables'. Only for a reader of everything.
    package mutating func compare(state: [GapRow: RowContent]) {
        let wrong = rows.first { row, now in state[row] != now.content }?.key
        let unheard = state.first { row, _ in rows[row] == nil }?.key
        if let row = wrong ?? unheard { note(.state(row)) }
    }
}
