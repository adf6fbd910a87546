import Foundation
import WireJSON

/// The books of a reference server: what it keeps in `sync_row_meta`, `sync_state` and `server_change_log`.
struct ReferenceTables: Sendable {
    struct Place: Hashable, Sendable {
        let schema: String
        let table: String
        let pk: String

        var label: String { "\(schema).\(table) pk=\(pk)" }
    }

    struct Row: Sendable {
        var version: Int64
        /// nil: deleted.
        var payload: String?
    }

    struct Entry: Sendable {
        let id: Int64
        let user: String
        let place: Place
        let operation: String
        let payload: String?
        let version: Int64
        let source: String
        let changeID: Int64
    }

    struct Change: Sendable {
        var changeID: Int64 = 0
        var schema = ""
        var table = ""
        var operation = ""
        var pk = ""
        var base: Int64 = 0
        var payload: String?
    }

    enum Status: Sendable {
        /// Without a version when nothing was done.
        case applied(Int64?)
        case conflict(Row)
        case invalid(reason: String, message: String?, details: String)
    }

    private struct Triplet: Hashable {
        let user: String
        let source: String
        let changeID: Int64
    }

    /// All users draw from one sequence, which leaves gaps.
    static let sequenceStep: Int64 = 50

    private(set) var log: [Entry] = []
    private var rows: [String: [Place: Row]] = [:]
    private var triplets: Set<Triplet> = []

    func highest(of user: String) -> Int64 { log.last { $0.user == user }?.id ?? 0 }
    func rows(of user: String) -> [Place: Row] { rows[user] ?? [:] }

    /// Upserts before deletes, children's deletes first; each by itself.
    mutating func upload(_ changes: [Change], user: String, source: String) -> [Status] {
        var statuses = [Status](repeating: .applied(nil), count: changes.count)
        func rank(_ index: Int) -> Int {
            ReferenceServer.parentsFirst.firstIndex(of: changes[index].table) ?? 0
        }
        let upserts = changes.indices.filter { changes[$0].operation != "DELETE" }
            .sorted { (rank($0), $0) < (rank($1), $1) }
        let deletes = changes.indices.filter { changes[$0].operation == "DELETE" }
            .sorted { (-rank($0), $0) < (-rank($1), $1) }
        for index in upserts + deletes {
            statuses[index] = judge(changes[index], user: user, source: source)
        }
        return statuses
    }

    private mutating func judge(_ change: Change, user: String, source: String) -> Status {
        if let refusal = ReferenceServer.fault(in: change) { return refusal }
        let place = Place(schema: change.schema, table: change.table, pk: change.pk.lowercased())
        let isDelete = change.operation == "DELETE"
        if !isDelete, let missing = missingParent(of: change, user) {
            let label = "\(change.schema).users:\(missing)"
            return .invalid(
                reason: "fk_missing", message: nil, details: #""missing":["\#(label)"]"#)
        }
        // The content is not compared (hazard S5), and the version is not told (hazard C17).
        let triplet = Triplet(user: user, source: source, changeID: change.changeID)
        if triplets.contains(triplet) { return .applied(nil) }
        guard let row = rows[user]?[place] else {
            if isDelete { return .applied(nil) }
            guard change.base == 0 else {
                let text = "conflict without server_row for \(place.label)"
                return .invalid(
                    reason: "internal_error", message: text, details: #""error":"\#(text)""#)
            }
            return apply(change, place, triplet, version: 1)
        }
        guard row.version == change.base else { return .conflict(row) }
        return apply(change, place, triplet, version: row.version + 1)
    }

    private mutating func apply(
        _ change: Change, _ place: Place, _ triplet: Triplet, version: Int64
    ) -> Status {
        triplets.insert(triplet)
        rows[triplet.user, default: [:]][place] = Row(version: version, payload: change.payload)
        log.append(
            Entry(
                id: (log.last?.id ?? 0) + Self.sequenceStep, user: triplet.user, place: place,
                operation: change.operation, payload: change.payload, version: version,
                source: triplet.source, changeID: change.changeID))
        return .applied(version)
    }

    /// The `user_id` of a post whose user is not here.
    private func missingParent(of change: Change, _ user: String) -> String? {
        guard change.table == "posts", let payload = change.payload,
            let object = try? JSONSerialization.jsonObject(with: Data(payload.utf8)),
            let parent = (object as? [String: Any])?["user_id"] as? String
        else { return nil }
        let place = Place(schema: change.schema, table: "users", pk: parent.lowercased())
        return rows[user]?[place]?.payload == nil ? parent : nil
    }
}
