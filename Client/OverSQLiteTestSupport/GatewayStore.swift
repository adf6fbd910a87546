/// All users' rows, and the rules by which uploads change them.
struct GatewayStore: Sendable {
    /// The outcome of a change.
    enum Answer: Sendable {
        /// The new version; nil for a delete of a row that never existed.
        case applied(Int?)
        case conflict(GatewayModel.StoredRow)
        case invalid(GatewayRefusal)
        /// The business table refused the row, which would have had this version. `culprit` is the
        /// column or the constraint.
        case materializeError(version: Int, state: String, culprit: String?)
        case aborted

        var isApplied: Bool {
            if case .applied = self { true } else { false }
        }
    }

    /// A change of a request, or why it is invalid.
    typealias Verdict = Result<GatewayModel.Change, GatewayRefusal>

    let schema: String
    let tables: GatewayTables
    var users: [String: GatewayModel] = [:]
    /// What tables store instead of a payload, by table, at the test's request.
    var storing: [String: @Sendable (String) -> String] = [:]
    /// Rows to reject, at the test's request.
    var refusals: [GatewayModel.Place: PlannedRefusal] = [:]

    /// Applies the changes and returns the answers in the order of the request.
    mutating func upload(
        _ verdicts: [Verdict], user: String, device: String, isAtomic: Bool
    ) -> [Answer] {
        var trial = self
        let answers = trial.answers(to: verdicts, user: user, device: device)
        refusals = trial.refusals
        if isAtomic, !answers.allSatisfy(\.isApplied) {
            return answers.map { $0.isApplied ? .aborted : $0 }
        }
        let before = users[user]?.lastSequence ?? 0
        self = trial
        if isAtomic { users[user]?.join(after: before) }
        if !answers.isEmpty { users[user, default: GatewayModel()].meet(device) }
        return answers
    }

    private mutating func answers(
        to verdicts: [Verdict], user: String, device: String
    ) -> [Answer] {
        var answers = [Answer](repeating: .aborted, count: verdicts.count)
        var changes: [(index: Int, change: GatewayModel.Change)] = []
        for (index, verdict) in verdicts.enumerated() {
            switch verdict {
            case .success(let change): changes.append((index, change))
            case .failure(let refusal): answers[index] = .invalid(refusal)
            }
        }
        for (index, change) in ordered(changes) {
            answers[index] = judge(change, user: user, device: device)
        }
        return answers
    }

    /// Upserts come first, with parents before children if related tables share the request. Then
    /// come deletes, children first.
    private func ordered(
        _ changes: [(index: Int, change: GatewayModel.Change)]
    ) -> [(index: Int, change: GatewayModel.Change)] {
        let upserts = changes.filter { !$0.change.isDelete }
        let areRelated = tables.areRelated(Set(upserts.map(\.change.place.table)))
        func rank(_ change: GatewayModel.Change) -> Int { tables.rank(change.place.table) }
        let first =
            areRelated ? upserts.sorted { (rank($0.1), $0.0) < (rank($1.1), $1.0) } : upserts
        let last = changes.filter(\.change.isDelete)
            .sorted { (-rank($0.1), $0.0) < (-rank($1.1), $1.0) }
        return first + last
    }

    private mutating func judge(
        _ change: GatewayModel.Change, user: String, device: String
    ) -> Answer {
        let model = users[user] ?? GatewayModel()
        let place = change.place
        if let reason = refusalAsked(of: place) {
            return Self.asked(reason, (model.rows[place]?.version ?? 0) + 1, place, schema)
        }
        if let version = model.versionOfSame(change, from: device) { return .applied(version) }
        let missing = missingParents(of: change, in: model)
        if !missing.isEmpty { return .invalid(.init("fk_missing", nil, .missing(missing))) }
        let base = model.base(of: change, from: device)
        guard let row = model.rows[place] else {
            if change.isDelete {
                return change.lost == 0
                    ? .applied(nil) : write(change, on: 0, user: user, device: device)
            }
            guard base == 0 else { return .invalid(.rowMissing(schema, place)) }
            return write(change, on: 0, user: user, device: device)
        }
        guard row.version == base else { return .conflict(row) }
        return write(change, on: base, user: user, device: device)
    }

    /// The reason with which a test asked to reject the row; marks the plan as met.
    private mutating func refusalAsked(of place: GatewayModel.Place) -> String? {
        let place = tables.place(place.table, place.pk)
        refusals[place]?.isMet = true
        return refusals[place]?.reason
    }

    private mutating func write(
        _ change: GatewayModel.Change, on base: Int, user: String, device: String
    ) -> Answer {
        if let (state, culprit) = refusal(of: change, user: user) {
            return .materializeError(version: base + 1, state: state, culprit: culprit)
        }
        if isTaken(change, user: user) { return .invalid(.keyTaken(schema, change.place)) }
        let store = storing[change.place.table]
        return .applied(
            users[user, default: GatewayModel()].write(
                change, storing: change.payload.map { store?($0) ?? $0 }, from: device))
    }

    // MARK: What PostgreSQL would say

    /// The SQLSTATE with which the business table refuses a row, and the column or constraint that
    /// it names; nil if it accepts the row.
    private func refusal(
        of change: GatewayModel.Change, user: String
    ) -> (state: String, culprit: String)? {
        let rows = users[user]?.rows ?? [:]
        let place = change.place
        if change.isDelete {
            let need = tables.referring(to: place.table).first { child, column in
                rows.contains { name, row in
                    name.table == child && !row.isDeleted && row.columns.key(column) == place.pk
                }
            }
            // As PostgreSQL names foreign keys that are made without a name.
            return need.map { ("23503", "constraint \"\($0.0)_\($0.1)_fkey\"") }
        }
        let before = rows[place]?.columns ?? [:]
        let after = before.merging(change.columns) { $1 }
        let absent = tables[place.table]?.required.filter { after[$0] ?? .null == .null }.min()
        return absent.map { ("23502", "column \"\($0)\"") }
    }

    private func missingParents(
        of change: GatewayModel.Change, in model: GatewayModel
    ) -> [String] {
        guard !change.isDelete, let table = tables[change.place.table] else { return [] }
        return table.references.sorted { $0.key < $1.key }.compactMap { column, parent in
            guard let key = change.columns.key(column) else { return nil }
            let place = GatewayModel.Place(table: parent, pk: key)
            if place == change.place || model.rows[place]?.isDeleted == false { return nil }
            return "\(schema).\(parent):\(key)"
        }
    }

    private func isTaken(_ change: GatewayModel.Change, user: String) -> Bool {
        guard !change.isDelete, let key = tables[change.place.table]?.key,
            key != .text
        else { return false }
        return users.contains { $0.key != user && $0.value.rows[change.place]?.isDeleted == false }
    }

    /// The answer for the reason that a test asked for.
    private static func asked(
        _ reason: String, _ version: Int, _ place: GatewayModel.Place, _ schema: String
    ) -> Answer {
        switch reason {
        case "materialize_error": .materializeError(version: version, state: "23505", culprit: nil)
        case "fk_missing": .invalid(.init(reason, nil, .missing([])))
        case "unregistered_table": .invalid(.unregistered(schema, place.table))
        case "row_missing": .invalid(.rowMissing(schema, place))
        case "key_taken": .invalid(.keyTaken(schema, place))
        default: .invalid(.init(reason, "rejected, as the test asked"))
        }
    }
}
