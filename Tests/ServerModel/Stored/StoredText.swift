/// The values of ``StoredModel`` as the wire and SQL write them.
extension StoredModel {
    /// The business tables, for a real PostgreSQL.
    package static let schema: String = {
        let columns = """
            id uuid PRIMARY KEY, owner text NOT NULL, place int NOT NULL,
            word text CHECK (word <> 'bad'), price numeric(10,2), rate real, at timestamptz(0),
            code char(5), made timestamptz NOT NULL DEFAULT '2026-01-01 00:00:00+00',
            note text DEFAULT 'new'
            """
        return """
            CREATE SCHEMA p;
            CREATE TABLE p.spots (\(columns), UNIQUE (owner, place));
            CREATE TABLE p.seats (\(columns),
                UNIQUE (owner, place) DEFERRABLE INITIALLY DEFERRED);
            CREATE TABLE p.slots (\(columns));
            CREATE UNIQUE INDEX ON p.slots (place) WHERE place < \(Table.firstFreePlace);
            """
    }()

    /// Their entries in `oversync.yaml`.
    package static let registrations = """
          - {table: p.spots, owner: owner}
          - {table: p.seats, owner: owner}
          - {table: p.slots, owner: owner}
        """

    /// Plain SQL.
    package func sql(_ write: Write) -> String {
        switch write {
        case .insert(let owner, let name, let values):
            let fields = values.sorted { $0.key.rawValue < $1.key.rawValue }
            let columns = ["id", "owner"] + fields.map(\.key.rawValue)
            let literals =
                ["'\(name.keyText)'", "'\(owner.name)'"] + fields.map { Self.literal($0.value) }
            return "INSERT INTO \(name.table.name) (\(columns.joined(separator: ", "))) "
                + "VALUES (\(literals.joined(separator: ", ")))"
        case .update(let name, let values): return Self.update(name, values)
        case .delete(let name):
            return "DELETE FROM \(name.table.name) WHERE id = '\(name.keyText)'"
        case .swap(let a, let b):
            return swapSteps(a, b).map { Self.update($0.row, [.place: "\($0.place)"]) }
                .joined(separator: "; ")
        }
    }

    private static func update(_ name: RowName, _ values: Values) -> String {
        let sets = values.sorted { $0.key.rawValue < $1.key.rawValue }.map {
            "\($0.key.rawValue) = \(literal($0.value))"
        }
        return "UPDATE \(name.table.name) SET \(sets.joined(separator: ", ")) "
            + "WHERE id = '\(name.keyText)'"
    }

    /// The values contain neither quotes nor backslashes.
    private static func literal(_ json: String) -> String {
        json.first == "\"" ? "'\(json.dropFirst().dropLast())'" : json
    }
}

extension StoredModel.Table {
    package var wireName: String { "\(self)" }

    fileprivate var name: String { "p.\(self)" }
}

extension StoredModel.RowName: CustomStringConvertible {
    package var description: String { "\(table) \(number)" }

    package var keyText: String {
        let group = ["d", "e", "f"][table.rawValue]
        let digits = "\(number)"
        return "00000000-0000-4000-8000-" + group + String(repeating: "0", count: 11 - digits.count)
            + digits
    }
}

extension StoredModel.Change {
    package var json: String {
        var tail = ""
        if let payload {
            let members = StoredModel.members(payload) + (hasUnknown ? [StoredModel.unknown] : [])
            tail = ",\"payload\":{\(members.joined(separator: ","))}"
        }
        return "{\"source_change_id\":\(id),\"schema\":\"p\",\"table\":\"\(row.table.wireName)\","
            + "\"op\":\"\(kind.name)\",\"pk\":\"\(row.keyText)\",\"server_version\":\(base)\(tail)}"
    }
}

extension StoredModel {
    fileprivate static let unknown = #""unknown":[1.50]"#

    fileprivate static func members(_ values: Values) -> [String] {
        Column.allCases.compactMap { column in
            values[column].map { "\"\(column.rawValue)\":\($0)" }
        }
    }
}

extension StoredModel.Upload {
    /// The changes as the wire has them, without the brackets around the list.
    package var json: String { changes.map(\.json).joined(separator: ",") }
}

extension StoredModel.Entry {
    /// The payload; nil for a delete.
    package var json: String? {
        payload.map { payload in
            let key = isStored ? ["\"id\":\"\(row.keyText)\""] : []
            let members =
                key + StoredModel.members(payload) + (hasUnknown ? [StoredModel.unknown] : [])
            return "{\(members.joined(separator: ","))}"
        }
    }
}

extension StoredHistory.Step: CustomStringConvertible {
    package var description: String {
        switch self {
        case .write(let write): "plain SQL: \(write)"
        case .page(let user, let device, let cursor):
            "\(user.name) on \(device.name) downloads after \(cursor)"
        case .upload(let upload):
            "\(upload.user.name) on \(upload.device.name)\(upload.isAtomic ? ", atomic" : ""):\n  "
                + upload.changes.map(\.json).joined(separator: "\n  ")
        }
    }
}
