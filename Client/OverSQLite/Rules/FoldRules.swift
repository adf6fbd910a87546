/// What a touch means for the queue, decided from the row as it stands now.
///
/// Because only "is there a row?" counts, and not the order of operations, no sequence of inserts,
/// deletes, replacements and key changes can leave the queue saying something the table does not
/// (hazard C3).
enum FoldRules {
    enum Action: Hashable {
        /// Nothing to send, and nothing waits.
        case ignore
        /// A first edit: it joins the end of the queue.
        case enqueue(CapturedOperation, base: Int64)
        /// A further edit of a row that waits.
        case edit(CapturedOperation)
        /// The row came and went without the server ever hearing of it.
        case forget
    }

    /// - Parameters:
    ///   - isLive: whether the table has the row now.
    ///   - known: what the server is known to have.
    ///   - waiting: operation and base of the row's entry in the queue, if it has one.
    ///   - wasSent: whether the entry was ever sent, so that the server may have it.
    static func decide(
        _ kind: Touch.Kind, isLive: Bool, known: KnownRow?,
        waiting: (operation: CapturedOperation, base: Int64)?,
        wasSent: Bool
    ) -> Action {
        // While applying, only a row that is gone though the server has it is news; a row that may
        // have been replaced and still stands was not.
        if kind != .app, isLive { return .ignore }
        guard let waiting else {
            return firstEdit(isLive: isLive, known: known)
        }
        // The deletion that waits is a resolver's, which has just been carried out here.
        if kind == .duringApply, waiting.operation == .delete { return .ignore }
        if isLive {
            let isNew =
                waiting.base == 0 || waiting.operation != .update && known?.isDeleted == true
            return .edit(
                isNew ? .insert : waiting.operation == .delete ? .update : waiting.operation)
        }
        return waiting.base == 0 && !wasSent ? .forget : .edit(.delete)
    }

    private static func firstEdit(isLive: Bool, known: KnownRow?) -> Action {
        switch (isLive, known) {
        case (true, nil): .enqueue(.insert, base: 0)
        case (true, let known?) where known.isDeleted: .enqueue(.insert, base: known.version)
        case (true, let known?): .enqueue(.update, base: known.version)
        case (false, let known?) where !known.isDeleted: .enqueue(.delete, base: known.version)
        case (false, _): .ignore
        }
    }
}
