import GRDB

/// The rules of a merge, over values alone.
struct FieldMerge {
    /// What is to be done with the row.
    enum Verdict: Hashable {
        /// The server's row stands, local edits end.
        case takeServer
        /// The local row or deletion stands and is sent again on the server's version.
        case keepClient
        /// These values are written and sent.
        case write(RowValues)
        /// The row is deleted here and on the server.
        case delete
    }

    struct Decision: Hashable {
        var verdict: Verdict
        /// Columns both sides changed, to different values.
        var clashes: [String] = []
        /// False if both sides say the same, so that there is nothing to report.
        var isConflict = true
    }

    let base: RowValues?
    /// nil: deleted here.
    let local: RowValues?
    /// nil: deleted on the server.
    let server: RowValues?

    /// What both sides began with, where the server may have got to know the row since and the
    /// answer was lost: a column that it has as it was sent is no edit of somebody else's, and a
    /// row that this device made has no other beginning.
    ///
    /// - Parameters:
    ///   - image: the row at the version that was edited; nil: the server had none, or it is not
    ///     known.
    ///   - sent: the row as it was sent; nil: nothing is in doubt.
    static func base(_ image: RowValues?, sent: RowValues?, server: RowValues?) -> RowValues? {
        guard let sent else { return image }
        guard let image else { return sent }
        return image.merging(
            sent.filter { column, value in
                server?[column].map { areSame($0, value) } ?? false
            }
        ) { $1 }
    }

    /// - Throws: what the app's resolver throws.
    func decide(_ policy: ConflictPolicy, conflict: () -> Conflict) throws -> Decision {
        if local == nil, server == nil { return Decision(verdict: .takeServer, isConflict: false) }
        if let local, let server, differing(local, server).isEmpty, !mustAsk(policy, local, server)
        {
            return Decision(verdict: .takeServer, isConflict: false)
        }
        switch policy {
        case .serverWins: return Decision(verdict: .takeServer, clashes: bothChanged)
        case .clientWins: return Decision(verdict: .keepClient, clashes: bothChanged)
        case .fieldwise(let clash, let deletion): return merge(clash, deletion)
        case .resolver(let resolve):
            return Decision(verdict: verdict(of: try resolve(conflict())), clashes: bothChanged)
        }
    }

    /// Whether the app's resolver is to see two rows that are equal: "one more" on both sides is
    /// two more.
    private func mustAsk(
        _ policy: ConflictPolicy, _ local: RowValues, _ server: RowValues
    ) -> Bool {
        guard case .resolver = policy, let base else { return false }
        return base.keys.contains { column in
            local[column] != nil && isEdited(column, local)
                && server[column] != nil && isEdited(column, server)
        }
    }

    private func verdict(of resolution: ConflictResolution) -> Verdict {
        switch resolution {
        case .server: .takeServer
        case .client: .keepClient
        case .fieldwise(let clash, let deletion): merge(clash, deletion).verdict
        case .merged(let values):
            .write(
                (server ?? local ?? [:]).merging(
                    values.map { ($0.lowercased(), $1) }, uniquingKeysWith: { $1 }))
        case .delete: server == nil ? .takeServer : .delete
        }
    }

    private func merge(_ clash: ConflictSide, _ deletion: DeletionRule) -> Decision {
        guard let server, let (merged, clashes) = mergedRow(clash) else {
            let localHasRow = local != nil
            return Decision(
                verdict: localHasRow == (deletion == .editWins) ? .keepClient : .takeServer)
        }
        let hasLocalEdits = !differing(merged, server).isEmpty
        return Decision(
            verdict: hasLocalEdits ? .write(merged) : .takeServer, clashes: clashes,
            isConflict: !clashes.isEmpty || hasLocalEdits)
    }

    /// The row with both sides' edits, and the columns that both edited; nil if a side has deleted
    /// it.
    func mergedRow(_ clash: ConflictSide) -> (values: RowValues, clashes: [String])? {
        guard let local, let server else { return nil }
        var merged = server
        var clashes: [String] = []
        for column in differing(local, server) where isEdited(column, local) {
            if isEdited(column, server) {
                clashes.append(column)
                if clash == .server { continue }
            }
            merged[column] = local[column]
        }
        return (merged, clashes)
    }

    private var bothChanged: [String] {
        guard let local, let server else { return [] }
        return differing(local, server).filter { isEdited($0, local) && isEdited($0, server) }
    }

    /// Without a base every value counts as edited; a column the base does not have is one, too.
    private func isEdited(_ column: String, _ side: RowValues) -> Bool {
        guard let before = base?[column], let now = side[column] else { return true }
        return !Self.areSame(before, now)
    }

    /// Names of the columns that both rows have with different values, in alphabetical order. A
    /// column that only one side has says nothing about an edit.
    private func differing(_ one: RowValues, _ other: RowValues) -> [String] {
        one.compactMap { column, value in
            guard let counterpart = other[column] else { return nil }
            return Self.areSame(value, counterpart) ? nil : column
        }.sorted()
    }

    /// Whether SQLite holds two values for equal: a whole number may come back as a real one.
    static func areSame(_ one: DatabaseValue, _ other: DatabaseValue) -> Bool {
        switch (one.storage, other.storage) {
        case (.int64(let integer), .double(let real)), (.double(let real), .int64(let integer)):
            Int64(exactly: real) == integer
        default: one == other
        }
    }
}
