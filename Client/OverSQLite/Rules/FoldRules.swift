/// Decides what a touch means for the queue, from the row as it is now.
///
/// Only whether the row exists now matters, not the order of operations. So no sequence of inserts,
/// deletes, replacements and key changes can leave the queue in disagreement with the table (hazard
/// C3).
enum FoldRules {
    enum Action: Hashable {
        /// Nothing needs to be sent, and nothing is pending.
        case ignore
        /// The first edit of a row: append it to the queue.
        case enqueue(CapturedOperation, base: Int64)
        /// Another edit of a pending row.
        case edit(CapturedOperation)
        /// The row was inserted and deleted before the server ever heard of it.
        case forget
    }

    /// - Parameters:
    ///   - isLive: whether the table has the row now.
    ///   - known: what the server is known to have.
    ///   - waiting: the operation and base of the row's queue entry; nil if it has none.
    ///   - wasSent: whether the entry was ever sent, so that the server may have it.
    static func decide(
        _ kind: Touch.Kind, isLive: Bool, known: KnownRow?,
        waiting: (operation: CapturedOperation, base: Int64)?,
        wasSent: Bool
    ) -> Action {
        // While server rows are applied, the only news is a row that is gone although the server
        // has it. A row that might have been replaced and still exists was not replaced.
        if !kind.isEdit, isLive { return .ignore }
        guard let waiting else {
            return firstEdit(isLive: isLive, known: known)
        }
        // The pending delete comes from a resolver and was just carried out here.
        if kind == .duringApply, waiting.operation == .delete { return .ignore }
        if isLive {
            let isNew =
                waiting.base == 0 || waiting.operation != .update && known?.isDeleted == true
            return .edit(
                isNew ? .insert : waiting.operation == .delete ? .update : waiting.operation)
        }
        // A row that a reread has not found is known, although its base is 0.
        return waiting.base == 0 && !wasSent && known == nil ? .forget : .edit(.delete)
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
