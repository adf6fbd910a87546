import Foundation

/// The triggers that note which rows of a table the app has touched.
///
/// A trigger appends to `_sync_log` and decides nothing: the log has no constraint that could fail,
/// so an OR-clause of the app's statement, which SQLite carries into triggers, finds nothing to act
/// on (hazard C2), and an insert costs one append at the end of a tree, however many rows wait
/// (hazard H11). What the touches mean is decided later, from the rows as they then stand
/// (`FoldRules`).
struct CaptureTriggers {
    /// Pairs given to one `json_object`, which takes at most 100 arguments in SQLite's default
    /// build.
    static let imagePairsPerObject = 40

    let table: TableSchema

    /// Name and full SQL of every trigger the table should have.
    var all: [(name: String, sql: String)] {
        var triggers = [insert, update, delete]
        for (number, columns) in table.otherUniqueColumns.enumerated() {
            triggers.append(replacedBy(.insert, columns, number: number))
            triggers.append(replacedBy(.update, columns, number: number))
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

    /// A changed key is two touches: the old row is gone, the new one is there.
    private var update: (name: String, sql: String) {
        let key = table.quotedKey
        return trigger(
            "update", "AFTER UPDATE",
            """
            WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
              \(TouchLog.append("tbl, key, image"))
              VALUES (\(table.id), OLD.\(key), \(image(when: imageIsNew)));
              \(TouchLog.append("tbl, key"))
              SELECT \(table.id), NEW.\(key) WHERE NEW.\(key) COLLATE BINARY IS NOT OLD.\(key);
            END
            """)
    }

    /// Runs while server rows are applied too: a foreign key with ON DELETE CASCADE may then remove
    /// rows the server still has, and only here can they be seen to go.
    private var delete: (name: String, sql: String) {
        let applying = "EXISTS (SELECT 1 FROM _sync_applying)"
        return trigger(
            "delete", "AFTER DELETE",
            """
            BEGIN
              \(TouchLog.append("tbl, key, kind, image"))
              VALUES (\(table.id), OLD.\(table.quotedKey), \(applying),
                \(image(when: "\(applying) OR \(imageIsNew)")));
            END
            """)
    }

    private enum Write: String { case insert = "INSERT", update = "UPDATE" }

    /// Notes the rows that a write with OR REPLACE may remove through another unique index. SQLite
    /// runs no delete trigger for them unless `recursive_triggers` is on, and gives no later chance
    /// to see them.
    private func replacedBy(_ write: Write, _ columns: [String], number: Int) -> (
        name: String, sql: String
    ) {
        let key = table.quotedKey
        let isSame = columns.map(\.quotedIdentifier).map { "\($0) = NEW.\($0)" }.joined(
            separator: " AND ")
        let own = write == .insert ? "NEW" : "OLD"
        return trigger(
            "replace_\(write.rawValue.lowercased())_\(number)",
            "BEFORE \(write.rawValue)"
                + (write == .update
                    ? " OF " + columns.map(\.quotedIdentifier).joined(separator: ", ") : ""),
            """
            WHEN NOT EXISTS (SELECT 1 FROM _sync_applying) BEGIN
              \(TouchLog.append("tbl, key, kind"))
              SELECT \(table.id), \(key), \(Touch.Kind.maybeReplaced.rawValue) FROM \(table.quotedName)
              WHERE \(isSame) AND \(key) COLLATE BINARY IS NOT \(own).\(key);
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

    /// The image is wanted at the first edit of a row, and at the first edit after it was sent:
    /// then it is what the server gets to know. Looking up the spelling used here finds nothing for
    /// a key spelled differently on the wire, which costs an image too many and harms nothing.
    private var imageIsNew: String {
        let place = "tbl = \(table.id) AND key = OLD.\(table.quotedKey)"
        return """
            NOT EXISTS (SELECT 1 FROM _sync_pending WHERE \(place)) \
            OR EXISTS (SELECT 1 FROM _sync_sent WHERE \(place))
            """
    }

    /// The row before the edit: JSON objects of column name → SQL literal, one object a line.
    /// Literals, because they alone keep every type and every digit. It is kept under every policy:
    /// also where nothing is merged it tells which columns the device has edited, and what a
    /// discarded edit goes back to.
    private func image(when condition: String) -> String {
        var objects: [String] = []
        var rest = table.columns[...]
        while !rest.isEmpty {
            let pairs = rest.prefix(Self.imagePairsPerObject).map {
                "\($0.wireName.quotedLiteral), quote(OLD.\($0.name.quotedIdentifier))"
            }
            objects.append("json_object(\(pairs.joined(separator: ", ")))")
            rest = rest.dropFirst(Self.imagePairsPerObject)
        }
        let image = objects.joined(separator: " || char(10) || ")
        return "\(Self.imageStart)CASE WHEN \(condition) THEN \(image) END\(Self.imageEnd)"
    }

    /// Around what names the table's columns; SQLite keeps comments in the text of a trigger.
    private static let imageStart = "/* image */ "
    private static let imageEnd = " /* end of image */"

    /// The text of a trigger that takes no image; nil if it takes none anyway.
    static func withoutImage(_ sql: String) -> String? {
        guard let start = sql.range(of: imageStart),
            let end = sql.range(of: imageEnd, options: .backwards)
        else { return nil }
        return sql.replacingCharacters(in: start.lowerBound..<end.upperBound, with: "NULL")
    }
}
