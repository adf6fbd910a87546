import Foundation

/// The triggers that capture which rows of a table the app has touched.
///
/// A trigger only appends to `_sync_log` and decides nothing. The log has no constraint that could
/// fail, so an OR clause of the app's statement, which SQLite passes on to triggers, has nothing to
/// act on (hazard C2). An insert costs one append at the end of a B-tree, however many rows are
/// pending (hazard H11). `FoldRules` decides later what the touches mean, from the rows as they are
/// then.
struct CaptureTriggers {
    /// Pairs per `json_object`, which takes at most 100 arguments in SQLite's default build.
    static let imagePairsPerObject = 40

    let table: TableSchema

    /// The name and the SQL of every trigger that the table should have.
    var all: [(name: String, sql: String)] {
        var triggers = [insert, update, delete]
        if table.keyForm == .integer, table.isKeyRowID { triggers.append(keyless) }
        for (number, index) in table.uniqueIndexes.enumerated() {
            triggers.append(replacedBy(.insert, index, number: number))
            triggers.append(replacedBy(.update, index, number: number))
        }
        return triggers
    }

    private var insert: (name: String, sql: String) {
        trigger(
            "insert", "AFTER INSERT",
            """
            WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
              \(TouchLog.append("tbl, key")) VALUES (\(table.id), NEW.\(table.quotedKey));
            END
            """)
    }

    /// Refuses an insert without a key, for which SQLite would choose this device's next number. A
    /// trigger that runs before such an insert sees -1 in place of the key.
    private var keyless: (name: String, sql: String) {
        let message =
            "\(table.name).\(table.key.name) must be given: SQLite would choose a number that "
            + "another device may choose for another row"
        return trigger(
            "keyless", "BEFORE INSERT",
            """
            WHEN NEW.\(table.quotedKey) = -1 AND NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
              SELECT RAISE(ABORT, \(message.quotedLiteral));
            END
            """)
    }

    /// A changed key is two touches: the old row is gone, and the new one exists.
    private var update: (name: String, sql: String) {
        let key = table.quotedKey
        let isMoved = "NEW.\(key) COLLATE BINARY IS NOT OLD.\(key)"
        let deleted = Touch.Kind.deleted.rawValue
        return trigger(
            "update", "AFTER UPDATE",
            """
            WHEN NOT EXISTS (SELECT 1 FROM _sync_applying)\(isEdit) BEGIN
              \(TouchLog.append("tbl, key, kind, image"))
              VALUES (\(table.id), OLD.\(key), \(deleted) * (\(isMoved)),
                \(image(when: imageIsNew)));
              \(TouchLog.append("tbl, key"))
              SELECT \(table.id), NEW.\(key) WHERE \(isMoved);
            END
            """)
    }

    /// An update that changes nothing but columns that stay on the device is no edit.
    private var isEdit: String {
        guard table.hasLocalColumns else { return "" }
        let changes = table.columns.map(\.name.quotedIdentifier).map {
            "OLD.\($0) COLLATE BINARY IS NOT NEW.\($0)"
        }
        return " AND \(Self.changeStart)(\(changes.joined(separator: " OR ")))\(Self.changeEnd)"
    }

    /// Also runs while server rows are applied. A foreign key with ON DELETE CASCADE may then
    /// remove rows that the server still has, and only this trigger sees them go.
    private var delete: (name: String, sql: String) {
        let applying = "EXISTS (SELECT 1 FROM _sync_applying)"
        let (during, deleted) = (Touch.Kind.duringApply.rawValue, Touch.Kind.deleted.rawValue)
        let kind = "iif(\(applying), \(during), \(deleted))"
        return trigger(
            "delete", "AFTER DELETE",
            """
            BEGIN
              \(TouchLog.append("tbl, key, kind, image"))
              VALUES (\(table.id), OLD.\(table.quotedKey), \(kind),
                \(image(when: "\(applying) OR \(imageIsNew)")));
            END
            """)
    }

    private enum Write: String { case insert = "INSERT", update = "UPDATE" }

    /// Captures the rows that a write with OR REPLACE may remove through another unique index.
    /// SQLite runs no delete trigger for them unless `recursive_triggers` is on, and they cannot be
    /// seen later.
    private func replacedBy(_ write: Write, _ index: UniqueIndex, number: Int) -> (
        name: String, sql: String
    ) {
        let key = table.quotedKey
        let own = write == .insert ? "NEW" : "OLD"
        // An update names the columns that a generated one follows from.
        let columns = index.readsGenerated ? [] : index.columns.map(\.quotedIdentifier)
        let clashes = index.clashSQL { column in
            let value = "NEW.\(column.quotedIdentifier)"
            return index.defaults[column].map { "coalesce(\(value), (\($0)))" } ?? value
        }
        return trigger(
            "replace_\(write.rawValue.lowercased())_\(number)",
            "BEFORE \(write.rawValue)"
                + (write == .update && !columns.isEmpty
                    ? " OF " + columns.joined(separator: ", ") : ""),
            """
            WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
              \(TouchLog.append("tbl, key, kind, image"))
              SELECT \(table.id), \(key), \(Touch.Kind.maybeReplaced.rawValue), \(image(of: ""))
              FROM \(table.quotedName)
              WHERE \(clashes) AND \(key) COLLATE BINARY IS NOT \(own).\(key);
            END
            """)
    }

    private func trigger(_ suffix: String, _ event: String, _ rest: String) -> (
        name: String, sql: String
    ) {
        let name = "_sync_\(table.id)_\(suffix)"
        let sql = "CREATE TRIGGER \(name.quotedIdentifier) \(event) ON \(table.quotedName) \(rest)"
        return (name, sql)
    }

    /// The condition for recording an image: the first edit of a row, or an edit after the row was
    /// sent, because then the image is what the server receives. The lookup uses the row's spelling
    /// of the key. It finds nothing for a key that is spelled differently on the wire, which
    /// records an unnecessary image and does no harm.
    private var imageIsNew: String {
        // A number would be compared as one, past the index on the text.
        let old = "OLD.\(table.quotedKey)"
        let key = table.keyForm == .integer ? "CAST(\(old) AS TEXT)" : old
        let place = "tbl = \(table.id) AND key = \(key)"
        return """
            NOT EXISTS (SELECT 1 FROM _sync_pending WHERE \(place)) \
            OR EXISTS (SELECT 1 FROM _sync_sent WHERE \(place))
            """
    }

    /// The row before the edit: JSON objects of column name → SQL literal, one object per line.
    /// Only literals keep every type and every digit. The image is recorded under every policy:
    /// even without a merge it tells which columns the device has edited, and what a discarded edit
    /// is restored to.
    private func image(when condition: String) -> String {
        image(of: "OLD.", "CASE WHEN \(condition) THEN ", " END")
    }

    /// - Parameters:
    ///   - row: what stands before the columns' names.
    ///   - before: SQL before the image, and `after` follows it.
    private func image(of row: String, _ before: String = "", _ after: String = "") -> String {
        var objects: [String] = []
        var rest = table.columns[...]
        while !rest.isEmpty {
            let pairs = rest.prefix(Self.imagePairsPerObject).map {
                "\($0.wireName.quotedLiteral), quote(\(row)\($0.name.quotedIdentifier))"
            }
            objects.append("json_object(\(pairs.joined(separator: ", ")))")
            rest = rest.dropFirst(Self.imagePairsPerObject)
        }
        let image = objects.joined(separator: " || char(10) || ")
        return "\(Self.imageStart)\(before)\(image)\(after)\(Self.imageEnd)"
    }

    /// Comments around the part that names the table's columns. SQLite keeps comments in a
    /// trigger's text.
    private static let imageStart = "/* image */ "
    private static let imageEnd = " /* end of image */"

    /// The same around the columns whose changes are edits.
    private static let changeStart = "/* change */ "
    private static let changeEnd = " /* end of change */"

    /// The text of a trigger without its image; nil if it records none.
    static func withoutImage(_ sql: String) -> String? {
        guard let released = replaced(imageStart, imageEnd, in: sql, with: "NULL") else {
            return nil
        }
        return replaced(changeStart, changeEnd, in: released, with: "1") ?? released
    }

    private static func replaced(
        _ start: String, _ end: String, in sql: String, with text: String
    ) -> String? {
        guard let start = sql.range(of: start), let end = sql.range(of: end, options: .backwards)
        else { return nil }
        return sql.replacingCharacters(in: start.lowerBound..<end.upperBound, with: text)
    }
}
