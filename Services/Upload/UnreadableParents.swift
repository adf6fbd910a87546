import Model
import Postgres
import Sidecar

/// Foreign keys whose parents cannot be looked up, and why: a missing privilege, as a rule.
///
/// The look-up stands before the writes, in the round trip that reads everything, so its error ends
/// the transaction. The upload begins again without it: changes that need such a parent are refused
/// (promise P5), and the others are applied.
struct UnreadableParents: Sendable {
    /// By the place of the foreign key in the schema.
    private(set) var refusals: [Int: RowRefusal] = [:]

    var isEmpty: Bool { refusals.isEmpty }
    var foreignKeys: Set<Int> { Set(refusals.keys) }

    /// Notes the foreign keys that an error is about. What may pass by itself, such as a lock, and
    /// trouble of the server's are not noted: they fail the request.
    ///
    /// - Returns: whether the upload has a chance without them.
    mutating func record(_ error: PostgresError, _ statements: BusinessStatements) -> Bool {
        guard let server = error.serverError, let name = error.statementName,
            let refusal = RowRefusal(server, from: .business), refusal.mayConcernTable,
            !refusal.isPostponed
        else { return false }
        let concerned = statements.schema.foreignKeys.indices.filter {
            refusals[$0] == nil && statements.parents($0).name == name
        }
        for foreignKey in concerned { refusals[foreignKey] = refusal }
        return !concerned.isEmpty
    }

    /// Why a change that points over one of them is refused.
    func refusal(of change: Change) -> RowRefusal? {
        guard !isEmpty else { return nil }
        return change.needs.lazy.compactMap { refusals[$0.foreignKey] }.first
    }

    /// Has the plan refuse the changes whose parents are not known for the batch itself.
    func bar(_ plan: inout UploadPlan, in schema: UploadSchema) {
        for (foreignKey, refusal) in refusals {
            let parent = schema.foreignKeys[foreignKey].key.parent
            plan.bar(needsOf: foreignKey) { _, version in
                refusal.outcome(version: version, needing: parent)
            }
        }
    }

    /// The tables whose changes wait.
    func tables(in schema: UploadSchema) -> [TableName: SQLState] {
        var states: [TableName: SQLState] = [:]
        for (foreignKey, refusal) in refusals {
            let child = schema.tables[schema.foreignKeys[foreignKey].child].registered.name
            states[child] = refusal.sqlState
        }
        return states
    }
}

extension RowRefusal {
    fileprivate func outcome(version: RowVersion, needing parent: TableName) -> ChangeVerdict {
        let state = sqlState ?? .internalError
        return .materializeError(
            version: version,
            message: "the row needs \(parent), which cannot be read: "
                + "SQLSTATE \(state.rawValue) (\(state.meaning))")
    }
}
