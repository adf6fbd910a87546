/// The model's values as the wire and SQL write them.
extension ModelServer {
    /// The business tables, for a real PostgreSQL.
    package static let schema = """
        CREATE SCHEMA m;
        CREATE TABLE m.notes (id uuid PRIMARY KEY, owner text, title text CHECK (title <> 'bad'),
            up_id uuid REFERENCES m.notes DEFERRABLE INITIALLY DEFERRED);
        CREATE TABLE m.items (id uuid PRIMARY KEY, owner text,
            note_id uuid REFERENCES m.notes DEFERRABLE INITIALLY DEFERRED, n int);
        CREATE TABLE m.pins (id uuid PRIMARY KEY, owner text,
            note_id uuid REFERENCES m.notes ON DELETE CASCADE, n numeric(6,1));
        """
    /// Their entries in `oversync.yaml`.
    package static let registrations = """
          - {table: m.notes, owner: owner}
          - {table: m.items, owner: owner}
          - {table: m.pins, owner: owner}
        """
}

extension ModelServer.User {
    package var name: String { self == .ann ? "ann" : "bob" }
}

extension ModelServer.Device {
    /// Empty for plain SQL, as on the wire.
    package var name: String {
        switch self {
        case .server: ""
        case .phone: "phone"
        case .tablet: "tablet"
        case .laptop: "laptop"
        }
    }
}

extension ModelServer.Table {
    package var name: String {
        switch self {
        case .notes: "notes"
        case .items: "items"
        case .pins: "pins"
        }
    }

    fileprivate var referenceColumn: String { self == .notes ? "up_id" : "note_id" }
}

extension ModelServer.Kind {
    package var name: String {
        switch self {
        case .insert: "INSERT"
        case .update: "UPDATE"
        case .delete: "DELETE"
        }
    }
}

extension ModelServer.Place {
    /// A uuid whose last digits are the key.
    package var keyText: String {
        let group = ["a", "b", "c"][table.rawValue]
        let digits = "\(key)"
        return "00000000-0000-4000-8000-" + group + String(repeating: "0", count: 11 - digits.count)
            + digits
    }
}

extension ModelServer.Reference {
    /// The key of the note; nil for nowhere.
    fileprivate var keyText: String? {
        guard case .note(let note) = self else { return nil }
        return ModelServer.Place(.notes, note).keyText
    }
}

extension ModelServer.Payload {
    /// As `title` stands in the table.
    fileprivate static func titleText(_ title: Int) -> String {
        title == badTitle ? "bad" : "t\(title)"
    }

    /// Columns and values, quoted by the caller's rule, in the order in which they are sent.
    fileprivate func fields(
        _ table: ModelServer.Table, quoted: (String) -> String
    ) -> [(column: String, value: String)] {
        var fields: [(String, String)] = []
        if let title { fields.append(("title", quoted(Self.titleText(title)))) }
        if let reference {
            fields.append((table.referenceColumn, reference.keyText.map(quoted) ?? "null"))
        }
        // Of pins as a number that their table rounds.
        if let number { fields.append(("n", table == .pins ? "\(number).04" : "\(number)")) }
        return fields
    }

    fileprivate func json(_ table: ModelServer.Table) -> String {
        var members = fields(table) { "\"\($0)\"" }.map { "\"\($0.column)\":\($0.value)" }
        if hasUnknown { members.append("\"unknown\":[1.50]") }
        return "{" + members.joined(separator: ",") + "}"
    }
}

extension ModelServer.Row {
    /// As the capture of plain SQL renders it.
    fileprivate func json(_ place: ModelServer.Place) -> String {
        let note = reference.keyText.map { "\"\($0)\"" } ?? "null"
        let own =
            place.table == .notes
            ? "\"title\":" + (title.map { "\"\(ModelServer.Payload.titleText($0))\"" } ?? "null")
                + ",\"up_id\":\(note)"
            : "\"note_id\":\(note),\"n\":"
                + (number.map { place.table == .pins ? "\($0).0" : "\($0)" } ?? "null")
        return "{\"id\":\"\(place.keyText)\",\(own)}"
    }
}

extension ModelServer.Change {
    package var json: String {
        let tail = payload.map { ",\"payload\":\($0.json(place.table))" } ?? ""
        return "{\"source_change_id\":\(id),\"schema\":\"m\",\"table\":\"\(place.table.name)\","
            + "\"op\":\"\(kind.name)\",\"pk\":\"\(place.keyText)\",\"server_version\":\(base)\(tail)}"
    }
}

extension ModelServer.Upload {
    /// The changes as the wire has them, without the brackets around the list.
    package var json: String { changes.map(\.json).joined(separator: ",") }
}

extension ModelServer.Entry {
    /// The payload; nil for a delete.
    package var json: String? {
        switch content {
        case .deleted: nil
        case .sent(let payload): payload.json(place.table)
        case .row(let row), .stored(let row, hasUnknown: false): row.json(place)
        case .stored(let row, hasUnknown: true):
            row.json(place).dropLast() + ",\"unknown\":[1.50]}"
        }
    }
}

extension ModelServer.Answer {
    /// One line, for comparisons.
    package var line: String {
        switch self {
        case .applied(let version), .repeated(let version): "applied \(version)"
        case .nothingToDelete: "applied"
        case .conflict(let row):
            "conflict \(row.version) by "
                + (row.device == .server ? "server " : "\(row.device.name)/\(row.id) ")
                + (row.json ?? "deleted")
        case .rowMissing: "invalid row_missing"
        case .noteMissing(let note):
            "invalid fk_missing m.notes:\(ModelServer.Place(.notes, note).keyText)"
        case .keyTaken: "invalid key_taken"
        case .badTitle: "materialize_error 23514"
        case .stillReferenced: "materialize_error 23503"
        case .aborted: "aborted"
        }
    }
}

extension ModelServer.Write {
    package var sql: String {
        func quoted(_ text: String) -> String { "'\(text)'" }
        switch self {
        case .insert(let owner, let place, let payload):
            let fields = payload.fields(place.table, quoted: quoted)
            let names = ["id", "owner"] + fields.map(\.column)
            let values = [quoted(place.keyText), quoted(owner.name)] + fields.map(\.value)
            return "INSERT INTO m.\(place.table.name) (\(names.joined(separator: ", "))) "
                + "VALUES (\(values.joined(separator: ", ")))"
        case .update(let place, let payload):
            let sets = payload.fields(place.table, quoted: quoted).map {
                "\($0.column) = \($0.value)"
            }
            return "UPDATE m.\(place.table.name) SET \(sets.joined(separator: ", ")) "
                + "WHERE id = \(quoted(place.keyText))"
        case .delete(let place):
            return "DELETE FROM m.\(place.table.name) WHERE id = \(quoted(place.keyText))"
        }
    }
}

extension RandomHistory.Step: CustomStringConvertible {
    package var description: String {
        switch self {
        case .write(let write): write.sql
        case .upload(let upload):
            "\(upload.user.name) on \(upload.device.name)\(upload.isAtomic ? ", atomic" : ""):\n  "
                + upload.changes.map(\.json).joined(separator: "\n  ")
        }
    }
}
