import Model
import Postgres
import Sidecar

/// Writes a set of changes into a business table (decision D4). One statement for each table, set of
/// payload columns and kind.
///
/// The rows come as arrays: one of their keys, and one for each column with its values as text.
/// Where a column's values must be read as JSON, they come as one JSON array of the payloads, each
/// with the row's key spliced in under `keyMember`. Columns that no payload names keep their value
/// on update and take their default on insert.
enum MaterializeStatement {
    /// The member that carries the key. Spliced in last, it wins over anything a payload brings; and as wire names
    /// are in lower case, no column has it.
    static let keyMember = "KEY"
    /// What the names of these statements begin with.
    static let namePrefix = "upload_rows"

    /// The setting in which a statement that updates or inserts leaves how many rows it inserted,
    /// until the transaction ends.
    static let insertedSetting = "oversync.rows_inserted"
    /// A condition that follows such a statement.
    static let hasInsertedNone = "current_setting('\(insertedSetting)', true) = '0'"

    enum Kind: Hashable, Sendable {
        /// Rows that the sidecar did not have: inserted.
        case create
        /// Rows that it had: updated.
        case update
        case delete

        init(_ change: Change, isCreation: Bool) {
            self = change.operation == .delete ? .delete : isCreation ? .create : .update
        }
    }

    /// How the rows come.
    enum Form: Hashable, Sendable {
        case texts
        case json

        init(_ shape: BusinessWrites.Shape, of table: UploadTable) {
            let isText = shape.columns.subtracting(table.textColumns).isEmpty
            self = isText && !shape.needsJSON ? .texts : .json
        }
    }

    /// What the business rows are taken to be.
    enum Expectation: Hashable, Sendable {
        /// As the sidecar says, which they nearly always are: a row to create is not there, one to update is.
        case asRecorded
        /// Anything: an owner's own row that the sidecar does not have is taken over, one that has gone is
        /// inserted again. Each such statement is two, and runs the capture triggers of both.
        case anything
    }

    /// Tells the table too: it stands in the log line of an upload that failed here.
    static func name(
        of sql: String, _ table: UploadTable, prefix: String = namePrefix
    ) -> String {
        String(
            "\(statementName(prefix, for: sql))_\(table.registered.name)"
                .prefix(Statement.maximumNameLength))
    }

    /// Whether a key's row is there and not the user's: what tells a taken key from a row that a trigger of the
    /// team's has left out. Nil where another's row cannot be in the way.
    static func isOthers(_ table: UploadTable) -> Statement? {
        let registered = table.registered
        if let owner = registered.ownerColumn, registered.keyIndexColumns.contains(owner) {
            return nil
        }
        let sql = Parts(registered, wireNames: table.wireNames, ColumnSet()).isOthers
        return Statement(
            name: statementName("upload_key_use", for: sql), sql: sql,
            parameters: [registered.keyKind.type, ownerType(registered)])
    }

    /// Binds whose rows a statement concerns: the user, who is in the owner column, or, where the
    /// table has none, the scope, which the sidecar keeps for each key.
    static func bind(
        owner scope: NamedScope, of table: RegisteredTable, to bindings: inout Bindings
    ) {
        if table.ownerColumn == nil {
            bindings.bind(scope.id)
        } else {
            bindings.bind(scope.user.value)
        }
    }

    private static func ownerType(_ table: RegisteredTable) -> PostgresType {
        table.ownerColumn == nil ? .int8 : .text
    }

    /// Rows that are otherwise than expected, or another's, or left out by a trigger, stop the statement with
    /// `RowRefusal.keyTakenState`. A row to delete may be gone, or another's.
    static func make(
        _ table: UploadTable, _ kind: Kind, _ columns: ColumnSet, as form: Form,
        expecting rows: Expectation
    ) -> Statement {
        let parts = Parts(table.registered, wireNames: table.wireNames, columns, as: form)
        let sql =
            switch (kind, rows) {
            case (.create, .asRecorded) where parts.policies != nil: parts.insertChecked
            case (.create, .anything) where parts.policies != nil: parts.updateOrInsertChecked
            case (.update, .anything) where parts.policies != nil: parts.updateOrInsertChecked
            case (.create, .asRecorded): parts.create(onConflict: parts.doNothing)
            case (.create, .anything): parts.create(onConflict: parts.takeOver)
            case (.update, .asRecorded): parts.update
            case (.update, .anything): parts.updateOrInsert
            case (.delete, _): parts.delete
            }
        let keys = table.registered.keyKind.arrayType
        let isJSON = kind != .delete && form == .json
        let isText = kind != .delete && form == .texts
        return Statement(
            name: name(of: sql, table), sql: sql,
            parameters: [isJSON ? .json : keys, ownerType(table.registered), .int8]
                + Array(repeating: .textArray, count: isText ? parts.names.count : 0))
    }
}

/// The pieces of SQL that the kinds share. `$1` rows or keys, `$2` their owner, `$3` number of rows,
/// from `$4` on the texts of each column that is written.
///
/// These run under the lock of the user's scope, so the scope that they are given is the user's.
struct Parts {
    let target: String
    let key: String
    let owner: String?
    /// The user in the owner column's own type, which may be uuid or a number.
    let ownerValue: String
    let keyKind: KeyKind
    let keyType: String
    /// PostgreSQL would make the key itself.
    let isKeyOfIdentity: Bool
    /// What a statement that changes no column sets to itself; nil if there is none.
    let unchanged: String?
    let names: [String]
    let values: [String]
    /// Of each of them.
    let types: [String]
    let source: String
    let conflictColumns: [String]
    /// How rows are found that policies hide; nil where none are hidden.
    let policies: HidingPolicies?
    /// For tables without an owner column, whose keys the sidecar keeps owners of.
    let ownership: Ownership?

    struct Ownership {
        let table: TableID
        /// The key of `t` as the sidecar stores it.
        let key: String
    }

    init(
        _ table: RegisteredTable, wireNames: [[UInt8]], _ columns: ColumnSet,
        as form: MaterializeStatement.Form = .json
    ) {
        target = table.name.quotedName
        key = quoted(table.keyColumn)
        owner = table.ownerColumn.map(quoted)
        ownerValue = table.ownerValue("$2")
        conflictColumns = table.keyIndexColumns.map(quoted)
        policies = HidingPolicies(table)
        keyKind = table.keyKind
        isKeyOfIdentity = table.isKeyOfIdentity
        unchanged =
            table.isKeyOfIdentity
            ? owner ?? table.columns.first(where: table.writes).map { quoted($0.name) } : key
        ownership =
            table.ownerColumn == nil
            ? Ownership(table: table.id, key: table.storedKey(of: "t")) : nil
        var names: [String] = []
        var values: [String] = []
        var types: [String] = []
        let key = quoted(MaterializeStatement.keyMember)
        keyType = table.keyKind.typeName
        var fields: [String] = form == .json ? [] : [key]
        var arrays = ["$1"]
        for place in table.places(writing: columns) {
            let column = table.columns[place]
            let field = quoted(String(decoding: wireNames[place], as: UTF8.self))
            let conversion = WireConversion(column)
            names.append(quoted(column.name))
            types.append(column.typeName)
            switch form {
            case .json:
                values.append(conversion.expression("r.\(field)"))
                fields.append("\(field) \(conversion.fieldType)")
            case .texts:
                values.append(conversion.expression(ofText: "r.\(field)") ?? "r.\(field)")
                fields.append(field)
                arrays.append("$\(arrays.count + 3)")
            }
        }
        self.types = types
        self.names = names
        self.values = values
        source =
            switch form {
            case .json:
                "json_to_recordset($1) AS r(\(Self.list(fields + ["\(key) \(keyType)"])))"
            case .texts:
                "unnest(\(Self.list(arrays))) AS r(\(Self.list(fields)))"
            }
    }

    private static func list(_ items: [String]) -> String { items.joined(separator: ", ") }

    var keyValue: String { "r.\(quoted(MaterializeStatement.keyMember))" }

    /// For every number: an ordinary column ignores it, and the key may have become an identity.
    private var overriding: String { keyKind == .integer ? " OVERRIDING SYSTEM VALUE" : "" }

    private var conflictKey: String { conflictColumns.joined(separator: ", ") }

    var insert: String {
        let columns = ([key] + (owner.map { [$0] } ?? []) + names).joined(separator: ", ")
        let values = ([keyValue] + (owner == nil ? [] : [ownerValue]) + self.values).joined(
            separator: ", ")
        return
            "INSERT INTO \(target) AS t (\(columns))\(overriding) SELECT \(values) FROM \(source)"
    }

    /// Leaves an existing row with this key alone, also another user's; the row count reveals it.
    var doNothing: String { "ON CONFLICT (\(conflictKey)) DO NOTHING" }

    /// An owner's own row is taken over; anybody else's stays, and the count tells.
    var takeOver: String {
        guard let owner else { return doNothing }
        // A key of identity cannot be set, not even to itself.
        let same = isKeyOfIdentity ? owner : key
        let sets = (names.isEmpty ? [same] : names).map { "\($0) = excluded.\($0)" }
        return
            "ON CONFLICT (\(conflictKey)) DO UPDATE SET \(sets.joined(separator: ", ")) WHERE t.\(owner) = \(ownerValue)"
    }

    /// Notes whose the inserted keys are, in the statement that inserts them: its trigger needs to know.
    private func noteOwner(_ inserted: String) -> String {
        guard let ownership else { return "" }
        return """
            , owned AS (
                INSERT INTO sync.key_owner (table_id, key, scope_id)
                SELECT \(ownership.table), w.key, $2 FROM \(inserted) w
                ON CONFLICT (table_id, key) DO UPDATE SET scope_id = excluded.scope_id
            )
            """
    }

    /// The rows of `t` that are the user's: by their owner column, or by the sidecar's own record.
    var own: String {
        if let owner { return " AND t.\(owner) = \(ownerValue)" }
        guard let ownership else { return "" }
        return """
             AND EXISTS (
                SELECT FROM sync.key_owner o
                WHERE o.table_id = \(ownership.table) AND o.key = \(ownership.key)
                    AND o.scope_id = $2)
            """
    }

    /// True of every key. The planner takes a range for one row in two hundred, so it expects few keys and
    /// looks each up in the index, also in a plan that it made when the table was empty.
    func isAny(_ key: String) -> String {
        switch keyKind {
        case .uuid:
            "\(key) BETWEEN '00000000-0000-0000-0000-000000000000' AND 'ffffffff-ffff-ffff-ffff-ffffffffffff'"
        case .text: "length(\(key)) BETWEEN 0 AND \(RowKey.maximumTextBytes)"
        case .integer: "\(key) BETWEEN '\(Int64.min)'::int8 AND '\(Int64.max)'::int8"
        }
    }

    /// True, and names `$2` with its type where nothing else does.
    var isOwned: String { "$2::\(ownership == nil ? "text" : "int8") IS NOT NULL" }

    var returning: String { "RETURNING \(ownership?.key ?? "1") AS key" }

    func create(onConflict: String) -> String {
        """
        WITH written AS (\(insert) \(onConflict) \(returning))\(noteOwner("written"))
        SELECT sync.expect_rows((SELECT count(*) FROM written), $3) WHERE \(isOwned)
        """
    }

    var updateRows: String {
        if names.isEmpty, unchanged == nil { return lockRows }
        let sets =
            names.isEmpty
            ? "\(unchanged ?? key) = t.\(unchanged ?? key)"
            : zip(names, values).map { "\($0) = \($1)" }.joined(separator: ", ")
        return """
            UPDATE \(target) AS t SET \(sets) FROM \(source)
            WHERE t.\(key) = \(keyValue) AND \(isAny(keyValue))\(own) RETURNING t.\(key) AS key
            """
    }

    /// A table whose only other columns PostgreSQL fills itself: nothing can be set.
    private var lockRows: String {
        """
        SELECT t.\(key) AS key FROM \(target) AS t JOIN \(source) ON t.\(key) = \(keyValue)
            WHERE \(isAny(keyValue))\(own) FOR UPDATE OF t
        """
    }

    var update: String {
        """
        WITH updated AS (\(updateRows))
        SELECT sync.expect_rows((SELECT count(*) FROM updated), $3)\(check) WHERE \(isOwned)
        """
    }

    var updateOrInsert: String {
        """
        WITH updated AS (\(updateRows)), inserted AS (
            \(insert) WHERE (SELECT count(*) FROM updated) < $3
                AND NOT EXISTS (SELECT FROM updated u WHERE u.key = \(keyValue))
            \(takeOver) \(returning)
        )\(noteOwner("inserted"))
        SELECT sync.expect_rows((SELECT count(*) FROM updated) + (SELECT count(*) FROM inserted)
            + (\(countOfUnchanged)), $3)
        WHERE \(isOwned) AND set_config('\(MaterializeStatement.insertedSetting)',
            (SELECT count(*) FROM inserted)::text, true) IS NOT NULL
        """
    }

    /// Rows that a trigger left as they are, and that are as they are to be (`suppress_redundant_updates_trigger`).
    /// Compared as PostgreSQL does there, byte for byte: not every type has an equality.
    var countOfUnchanged: String {
        func row(_ expressions: [String]) -> String {
            let typed = zip(expressions, types).map { "CAST(\($0) AS \($1))" }
            return "ROW(\(typed.joined(separator: ", ")))::record"
        }
        let isSame =
            names.isEmpty ? "true" : "\(row(names.map { "t.\($0)" })) *= \(row(values))"
        let unchanged = """
            FROM \(target) AS t JOIN \(source) ON t.\(key) = \(keyValue)
            WHERE (SELECT count(*) FROM updated) < $3 AND \(isAny(keyValue))\(own) AND \(isSame)
                AND NOT EXISTS (SELECT FROM updated u WHERE u.key = \(keyValue))
            """
        guard policies != nil else { return "SELECT count(*) \(unchanged)" }
        // Locked for an update: so the policies for UPDATE must show them, too.
        return "SELECT count(*) FROM (SELECT \(unchanged) FOR UPDATE OF t) AS same"
    }

    /// `$1` is the one key here.
    var isOthers: String {
        let rows = policies?.rows(under: "ARRAY[$1]") ?? target
        let row = "FROM \(rows) AS t WHERE t.\(key) = $1"
        return """
            SELECT EXISTS (SELECT \(row)) AND NOT EXISTS (SELECT \(row)\(own))
            WHERE \(isOwned)
            """
    }

    /// Rows that were not there are none that a trigger left out, so they are counted, but only where fewer went than
    /// there are keys; in the statement's own snapshot the others are there still.
    var delete: String {
        let these = "unnest($1) AS k(key)"
        let match = "t.\(key) = k.key AND \(isAny("k.key")) AND \(isOwned)\(own)"
        let stored = policies?.rows(under: "$1") ?? target
        return """
            WITH gone AS (DELETE FROM \(target) AS t USING \(these) WHERE \(match) \(returning))\(disown)
            SELECT sync.expect_rows((SELECT count(*) FROM gone),
                CASE WHEN (SELECT count(*) FROM gone) = $3 THEN $3
                ELSE (SELECT count(*) FROM \(stored) AS t JOIN \(these) ON \(match)) END)\(check)
            """
    }

    /// Forgets whose the deleted keys were.
    private var disown: String {
        guard let ownership else { return "" }
        return """
            , disowned AS (
                DELETE FROM sync.key_owner o USING gone
                WHERE o.table_id = \(ownership.table) AND o.key = gone.key
            )
            """
    }
}
