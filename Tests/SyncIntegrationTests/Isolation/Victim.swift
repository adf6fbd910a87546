import Foundation
import Model
import Postgres
import Sidecar

/// ann, whose rows are everywhere and carry a mark, so that a leak of them is seen anywhere.
struct Victim {
    static let user = "ann"
    static let mark = "secret-of-victim"
    static let textKey = "\(mark)-key"
    static let noteKey = id("a1")

    /// Tables in addition to the usual ones: parents of every kind, and one that refuses rows.
    static let tables = """
        CREATE TABLE s.labels (id uuid PRIMARY KEY, owner text, tag text REFERENCES s.tags,
            pref text, FOREIGN KEY (owner, pref) REFERENCES s.prefs (owner, code));
        CREATE TABLE s.refusing (id uuid PRIMARY KEY, owner text, word text CHECK (word = 'good'));
        """
    static let yaml = """
          - {table: s.labels, owner: owner}
          - {table: s.refusing, owner: owner}
        """

    /// The first change of an atomic upload of hers.
    static let atomicSequence: Int64 = 2

    let database: SyncedDatabase
    let scope: Int64

    /// Fills the database with ann's rows: live, edited and deleted ones, of two devices, a refused one, and a
    /// hydration.
    init(in database: SyncedDatabase) async throws {
        self.database = database
        for device in ["\(Self.mark)-phone", "\(Self.mark)-laptop"] {
            let n = device.hasSuffix("phone") ? 1 : 2
            try await database.upload(
                Self.user, device: device,
                change(1, "INSERT", "notes", id("a\(n)"), #"{"title":"\#(Self.mark)"}"#),
                change(2, "INSERT", "tags", Self.textKey + "\(n)", #"{"label":"\#(Self.mark)"}"#),
                change(3, "INSERT", "prefs", Self.textKey + "\(n)", #"{"value":"\#(Self.mark)"}"#),
                change(
                    4, "INSERT", "items", id("b\(n)"), #"{"note_id":"\#(id("a\(n)"))","n":\#(n)}"#),
                change(5, "INSERT", "refusing", id("c\(n)"), #"{"word":"\#(Self.mark)"}"#),
                change(6, "INSERT", "links", id("d\(n)"), "{}"),
                change(7, "DELETE", "links", id("d\(n)"), base: 1),
                change(8, "UPDATE", "items", id("b\(n)"), base: 1, #"{"n":7}"#),
                change(9, "INSERT", "links", id("d\(n + 2)"), "{}"),
                change(10, "INSERT", "labels", id("f\(n)"), Self.label(n)),
                change(11, "INSERT", "refusing", id("c\(n + 2)"), #"{"word":"good"}"#))
        }
        try await database.execute(
            """
            INSERT INTO sync.hydration (scope_id, device, floor_seq)
            SELECT scope_id, '\(Self.mark)-laptop', 5 FROM sync.scope
            WHERE user_id = '\(Self.user)';
            INSERT INTO sync.device_report (scope_id, device, reported_at, report)
            SELECT scope_id, '\(Self.mark)-phone', now(), '{"cursor":3}' FROM sync.scope
            WHERE user_id = '\(Self.user)';
            INSERT INTO sync.key_lease (scope_id, device, table_id, first_key, key_count, step)
            SELECT scope_id, '\(Self.mark)-phone', 1, 1, 10, 1 FROM sync.scope
            WHERE user_id = '\(Self.user)';
            INSERT INTO sync.usage (scope_id, counted_seq, live_rows, payload_bytes)
            SELECT scope_id, 1, 1, 2 FROM sync.scope WHERE user_id = '\(Self.user)';
            INSERT INTO sync.returned_table (scope_id, table_id)
            SELECT scope_id, 1 FROM sync.scope WHERE user_id = '\(Self.user)';
            INSERT INTO sync.atomic_upload (scope_id, first_seq, last_seq, source_no)
            SELECT scope_id, \(Self.atomicSequence), \(Self.atomicSequence + 1), 1
            FROM sync.scope WHERE user_id = '\(Self.user)'
            """)
        scope =
            Int64(
                try await database.value(
                    "SELECT scope_id::text FROM sync.scope WHERE user_id = '\(Self.user)'") ?? "")
            ?? 0
    }

    var named: NamedScope { NamedScope(id: scope, user: UserID(Self.user)) }

    private static func label(_ n: Int) -> String {
        #"{"tag":"\#(textKey)\#(n)","pref":"\#(textKey)\#(n)"}"#
    }

    /// All there is of ann, in the sidecar and in every business table.
    func everything() async throws -> [String?] {
        var all: [String?] = []
        for table in [
            "scope", "source", "change_log", "row_state", "hydration", "key_owner",
            "materialize_failures", "returned_table", "atomic_upload",
            "usage", "device_report", "key_lease",
        ] {
            all.append(try await lines(of: "sync.\(table)", where: "scope_id = \(scope)"))
        }
        for table in ["notes", "items", "links", "prefs", "labels", "refusing"] {
            all.append(try await lines(of: "s.\(table)", where: "owner = '\(Self.user)'"))
        }
        all.append(try await lines(of: "s.tags", where: "code LIKE '\(Self.mark)%'"))
        all.append(try await database.rawPage(Self.user))
        return all
    }

    private func lines(of table: String, where condition: String) async throws -> String? {
        try await database.value(
            "SELECT string_agg(t::text, ';' ORDER BY t::text) FROM \(table) t WHERE \(condition)")
    }

    /// Whether a result shows anything of ann: her mark as text or in bytes, or one of her keys.
    static func shows(in result: PostgresResult) -> Bool {
        let hexadecimal = mark.utf8.map { String($0, radix: 16) }.joined()
        for row in 0..<result.rowCount {
            for column in 0..<result.columnCount {
                // Of binary values too: what is no UTF-8 in them leaves her mark, which is ASCII, as it is.
                let value = result.withBytes(row, column) { bytes in
                    bytes.map { String(decoding: $0, as: UTF8.self) } ?? ""
                }
                if value.contains(mark) || value.contains(hexadecimal) { return true }
            }
        }
        return false
    }
}
