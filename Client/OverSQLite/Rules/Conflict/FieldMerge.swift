import GRDB

/// The rules of a merge, as a function of values.
struct FieldMerge {
    /// What to do with the row.
    enum Verdict: Hashable {
        /// Write the server's row and drop the local edits.
        case takeServer
        /// Keep the local row or deletion and send it on top of the server's version.
        case keepClient
        /// Write and send these values.
        case write(RowValues)
        /// Delete the row here and on the server.
        case delete
    }

    struct Decision: Hashable {
        var verdict: Verdict
        /// Columns that both sides changed to different values.
        var clashes: [String] = []
        /// False if both sides agree, so that there is nothing to report.
        var isConflict = true
    }

    let base: RowValues?
    /// nil if the row was deleted here.
    let local: RowValues?
    /// nil if the row was deleted on the server.
    let server: RowValues?

    /// The row both sides started from, if an unanswered upload may have reached the server.
    ///
    /// A column whose value on the server equals the value that was sent was not edited by someone
    /// else. If this device inserted the row, what it sent is the only common base.
    ///
    /// - Parameters:
    ///   - image: the row at the version that was edited; nil if the server had none or it is
    ///     unknown.
    ///   - sent: the row as it was sent; nil if no upload is unanswered.
    ///   - server: the row on the server; nil if it was deleted there.
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
        if let local, let server, Self.differing(local, server).isEmpty,
            !mustAsk(policy, local, server)
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

    /// Whether to ask the app's resolver although both rows are equal: if both sides added one, the
    /// sum is two more.
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
        let hasLocalEdits = !Self.differing(merged, server).isEmpty
        return Decision(
            verdict: hasLocalEdits ? .write(merged) : .takeServer, clashes: clashes,
            isConflict: !clashes.isEmpty || hasLocalEdits)
    }

    /// The row with both sides' edits, and the columns that both edited; nil if one side deleted
    /// the row.
    func mergedRow(_ clash: ConflictSide) -> (values: RowValues, clashes: [String])? {
        guard let local, let server else { return nil }
        var merged = server
        var clashes: [String] = []
        for column in Self.differing(local, server) where isEdited(column, local) {
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
        return Self.differing(local, server).filter { isEdited($0, local) && isEdited($0, server) }
    }

    /// Without a base, every value counts as edited. A column that the base does not have counts as
    /// edited too.
    private func isEdited(_ column: String, _ side: RowValues) -> Bool {
        guard let before = base?[column], let now = side[column] else { return true }
        return !Self.areSame(before, now)
    }

    /// The columns in which both rows differ, in alphabetical order. A column that only one side
    /// has is not an edit.
    static func differing(_ one: RowValues, _ other: RowValues) -> [String] {
        one.compactMap { column, value in
            guard let counterpart = other[column] else { return nil }
            return areSame(value, counterpart) ? nil : column
        }.sorted()
    }

    /// Whether SQLite considers two values equal. A whole number may come back as a real number.
    static func areSame(_ one: DatabaseValue, _ other: DatabaseValue) -> Bool {
        switch (one.storage, other.storage) {
        case (.int64(let integer), .double(let real)), (.double(let real), .int64(let integer)):
            Int64(exactly: real) == integer
        default: one == other
        }
    }
}
