import Model
import ServerModel

@testable import UploadService

/// What PostgreSQL holds, in dictionaries: the log, the state of rows and the business tables.
///
/// It answers what `UploadReadingStatements` asks, and refuses the rows that PostgreSQL would. It
/// decides nothing.
struct FactStore {
    private struct Scope {
        var log: [Logged] = []
        /// The newest change of each row, as an index into the log.
        var state: [RowID: Int] = [:]
        var known: [Name: [KnownChange]] = [:]
    }

    struct Logged {
        let version: RowVersion
        let device: ModelServer.Device
        let id: ChangeID
        let content: ModelServer.Entry.Content
    }

    private struct Name: Hashable {
        let device: ModelServer.Device
        let id: ChangeID
    }

    enum Refusal { case keyTaken, badTitle, stillReferenced }

    private var scopes = Array(repeating: Scope(), count: ModelServer.User.allCases.count)
    private var rows: [ModelServer.Place: ModelServer.Row] = [:]

    func log(of user: ModelServer.User) -> [Logged] { scopes[user.rawValue].log }

    func reading(for upload: ModelServer.Upload, _ changes: [Change]) -> UploadReading {
        let scope = scopes[upload.user.rawValue]
        var reading = UploadReading(lastSequence: Int64(scope.log.count))
        for change in changes {
            if let known = scope.known[Name(device: upload.device, id: change.id)] {
                reading.known[change.id] = known
            }
            if let index = scope.state[change.row] {
                // Read for each change of the row; the reading that has its writer is kept.
                let isConflictLikely = scope.log[index].version != change.base
                if isConflictLikely || reading.rows[change.row] == nil {
                    reading.rows[change.row] = row(scope, index, withWriter: isConflictLikely)
                }
            }
            if let need = change.needs.first,
                case .note(let note)? = upload.changes[change.index].payload?.reference,
                rows[.init(.notes, note)]?.owner == upload.user
            {
                reading.parents.insert(need)
            }
        }
        return reading
    }

    private func row(_ scope: Scope, _ index: Int, withWriter: Bool) -> RowFact {
        let newest = scope.log[index]
        let writer = StoredWriter(
            payload: withWriter ? newest.content.bytes : nil, device: newest.device.name,
            changeID: newest.id, timestamp: "")
        return RowFact(
            version: newest.version, sequence: Int64(index) + 1,
            isDeleted: newest.content == .deleted, writer: .stored(withWriter ? writer : nil))
    }

    // MARK: Writes

    /// Writes all entries or none. What the writes cause is logged after them.
    mutating func write(
        _ entries: [LogEntry], of upload: ModelServer.Upload, _ changes: [Change]
    ) -> Refusal? {
        var after = self
        var gone: [ModelServer.Place] = []
        for entry in entries {
            let change = changes[entry.change]
            let sent = upload.changes[change.index]
            if let refusal = after.write(sent, of: upload.user, gone: &gone) { return refusal }
            after.append(
                Logged(
                    version: entry.version, device: upload.device, id: change.id,
                    content: sent.payload.map { .sent($0) } ?? .deleted),
                change.row, hash: change.contentHash, to: upload.user)
        }
        for note in gone where after.isReferenced(note) { return .stillReferenced }
        for note in gone { after.removePins(on: note) }
        self = after
        return nil
    }

    private mutating func write(
        _ change: ModelServer.Change, of user: ModelServer.User, gone: inout [ModelServer.Place]
    ) -> Refusal? {
        let isOthers = rows[change.place].map { $0.owner != user } ?? false
        guard let payload = change.payload else {
            if !isOthers, rows.removeValue(forKey: change.place) != nil {
                gone.append(change.place)
            }
            return nil
        }
        if payload.title == ModelServer.Payload.badTitle { return .badTitle }
        if isOthers { return .keyTaken }
        rows[change.place] = (rows[change.place] ?? .init(owner: user)).taking(payload)
        return nil
    }

    private func isReferenced(_ place: ModelServer.Place) -> Bool {
        place.table == .notes && rows[place] == nil
            && rows.contains { $0.table != .pins && $1.reference == .note(place.key) }
    }

    private mutating func removePins(on place: ModelServer.Place) {
        guard place.table == .notes else { return }
        for (pin, row) in rows where pin.table == .pins && row.reference == .note(place.key) {
            rows[pin] = nil
            capture(pin, row.owner)
        }
    }

    private mutating func append(
        _ logged: Logged, _ row: RowID, hash: Int64, to user: ModelServer.User
    ) {
        let scope = user.rawValue
        scopes[scope].state[row] = scopes[scope].log.count
        scopes[scope].log.append(logged)
        scopes[scope].known[Name(device: logged.device, id: logged.id), default: []].append(
            KnownChange(
                sequence: Int64(scopes[scope].log.count), version: logged.version,
                contentHash: hash))
    }

    // MARK: Plain SQL

    mutating func write(_ write: ModelServer.Write) {
        switch write {
        case .insert(let owner, let place, let payload):
            rows[place] = ModelServer.Row(owner: owner).taking(payload)
            capture(place, owner)
        case .update(let place, let payload):
            guard let row = rows[place], row.taking(payload) != row else { return }
            rows[place] = row.taking(payload)
            capture(place, row.owner)
        case .delete(let place):
            guard let row = rows.removeValue(forKey: place) else { return }
            capture(place, row.owner)
            removePins(on: place)
        }
    }

    private mutating func capture(_ place: ModelServer.Place, _ owner: ModelServer.User) {
        let scope = scopes[owner.rawValue]
        let version = scope.state[place.row].map { scope.log[$0].version } ?? 0
        append(
            Logged(
                version: version + 1, device: .server, id: 0,
                content: rows[place].map { .row($0) } ?? .deleted),
            place.row, hash: 0, to: owner)
    }
}
