import Foundation
import GRDB

/// Spells references to rows that came after the rows that refer to them. Until a row is here,
/// nothing shows how it will be spelled. Runs under apply mode.
struct LateSpellings {
    let db: Database
    let catalog: DeviceCatalog
    let tables: TableWriters

    /// Goes on while a key that is a reference itself changes the spelling of its row.
    func apply() throws {
        while true {
            let new = tables.takeNewSpellings()
            if new.isEmpty { return }
            for (id, spellings) in new.sorted(by: { $0.key < $1.key }) {
                for table in catalog.tables {
                    for column in table.columns where column.reference?.tableID == id {
                        try spell(column, of: table, spellings, id)
                    }
                }
            }
        }
    }

    private func spell(
        _ column: Column, of table: TableSchema, _ spellings: [DeviceRowKey: DatabaseValue],
        _ parent: Int64
    ) throws {
        let keys = spellings.keys.map(\.wire).sorted()
        let list = String(decoding: try JSONEncoder().encode(keys), as: UTF8.self)
        let name = column.name.quotedIdentifier
        let isAmong = "c.\(name) COLLATE BINARY IN (SELECT value FROM json_each(:list))"
        if column.isKey {
            let found = try String.fetchAll(
                db, sql: "SELECT c.\(name) FROM \(table.quotedName) AS c WHERE \(isAmong)",
                arguments: ["list": list])
            for wire in found { try spellKey(DeviceRowKey(wire: wire), of: table, spellings) }
            return
        }
        try db.execute(
            sql: """
                UPDATE \(table.quotedName) AS c SET \(name) = (
                  SELECT r.local FROM _sync_rows r WHERE r.tbl = :parent AND r.key = c.\(name))
                WHERE \(isAmong)
                """, arguments: ["parent": parent, "list": list])
        if db.changesCount > 0 { tables.rememberChange(in: table) }
    }

    private func spellKey(
        _ key: DeviceRowKey, of table: TableSchema, _ spellings: [DeviceRowKey: DatabaseValue]
    ) throws {
        guard table.keyForm == .uuidText, let local = spellings[key] else { return }
        try db.execute(
            sql: """
                UPDATE \(table.quotedName) SET \(table.quotedKey) = ?
                WHERE \(table.quotedKey) COLLATE BINARY = ?
                """, arguments: [local, key.wire])
        if let known = try tables.known.find(table, key) {
            try tables.known.record(table, key, known.row, local: local, term: known.term)
        }
        if try PendingQueue(db: db).row(table, key) != nil {
            try PendingQueue(db: db).respell(table, key, local: local)
        }
        try tables.writer(table).rememberSpelling(local, of: key)
        tables.rememberChange(in: table)
    }
}
