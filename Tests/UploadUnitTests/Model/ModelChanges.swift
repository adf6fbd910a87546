import Model
import ServerModel
import Sidecar

@testable import UploadService

/// The model's tables as the catalog has them.
let modelSchema: UploadSchema = {
    func column(_ name: String, _ type: String, _ baseType: UInt32) -> Column {
        Column(name: name, typeName: type, baseType: baseType)
    }
    func table(_ table: ModelServer.Table, _ columns: [Column], references: String)
        -> RegisteredTable
    {
        RegisteredTable(
            id: table.id, name: TableName(schema: "m", table: table.name), keyKind: .uuid,
            keyColumn: "id", mode: .table, ownerColumn: "owner",
            columns: [column("id", "uuid", 2950), column("owner", "text", 25)] + columns,
            foreignKeys: [
                ForeignKey(
                    name: "to_note", parent: TableName(schema: "m", table: "notes"),
                    columns: [.init(child: references, parent: "id", parentType: 2950)],
                    isDeferrable: true)
            ])
    }
    let child = [column("note_id", "uuid", 2950), column("n", "int4", 23)]
    return UploadSchema(
        catalog: Catalog(tables: [
            table(
                .notes, [column("title", "text", 25), column("up_id", "uuid", 2950)],
                references: "up_id"),
            table(.items, child, references: "note_id"),
            table(.pins, child, references: "note_id"),
        ]))
}()

extension ModelServer.Table {
    var id: TableID { TableID(rawValue + 1) }
}

extension ModelServer.Place {
    var row: RowID { RowID(table: table.id, key: .uuid(high: 0, low: UInt64(key))) }
}

/// Changes as validation would make them, without the JSON in between.
enum ModelChanges {
    private static let keys = 0...63

    /// What a child of a table needs to point to each note.
    private static let needs: [[[ParentReference]]] = ModelServer.Table.allCases.map { table in
        keys.map { [reference(from: table, $0)] }
    }
    /// What each note provides, to all tables.
    private static let provides: [[ParentReference]] = keys.map { key in
        ModelServer.Table.allCases.map { reference(from: $0, key) }
    }

    private static func reference(from table: ModelServer.Table, _ key: Int) -> ParentReference {
        let foreignKey = modelSchema.foreignKeys.firstIndex { $0.child == table.rawValue } ?? -1
        return ParentReference(
            foreignKey: foreignKey, values: [.uuid(.uuid(high: 0, low: UInt64(key)))])
    }

    static func make(_ changes: [ModelServer.Change]) -> [Change] {
        var made: [Change] = []
        made.reserveCapacity(changes.count)
        for (index, change) in changes.enumerated() {
            let place = change.place
            var needs: [ParentReference] = []
            if case .note(let note)? = change.payload?.reference {
                needs = Self.needs[place.table.rawValue][note]
            }
            let isNote = place.table == .notes && change.kind != .delete
            made.append(
                Change(
                    index: index, id: ChangeID(change.id), row: place.row,
                    table: place.table.rawValue, operation: operation(change.kind),
                    base: RowVersion(change.base), payload: change.payload == nil ? nil : 0..<2,
                    contentHash: hash(change), needs: needs,
                    provides: isNote ? provides[place.key] : []))
        }
        return made
    }

    private static func operation(_ kind: ModelServer.Kind) -> Operation {
        switch kind {
        case .insert: .insert
        case .update: .update
        case .delete: .delete
        }
    }

    /// Different for all contents there are.
    private static func hash(_ change: ModelServer.Change) -> Int64 {
        let place = change.place.key << 2 | change.place.table.rawValue
        return (change.payload.map { ModelServer.Entry.Content.sent($0).code } ?? 0) << 8
            | Int64(place)
    }
}

extension ModelServer.Entry.Content {
    /// A number that stands for the content, different for all there are; 0 for none.
    var code: Int64 {
        switch self {
        case .deleted: 0
        case .sent(let payload):
            Self.code(payload.title, payload.reference, payload.number)
                | (payload.hasUnknown ? 2 : 0) | 1
        case .row(let row), .stored(let row, _):
            Self.code(row.title, row.reference, row.number) | 4
        }
    }

    private static func code(
        _ title: Int?, _ reference: ModelServer.Reference?, _ number: Int?
    ) -> Int64 {
        var target = 0
        switch reference {
        case nil: break
        case .nowhere: target = 1
        case .note(let note): target = note + 2
        }
        let code = (title.map { $0 + 2 } ?? 0) << 16 | target << 8 | (number.map { $0 + 1 } ?? 0)
        return Int64(code) << 3
    }

    /// What stands for the content where the server keeps JSON.
    var bytes: [UInt8]? {
        let code = code
        return code == 0 ? nil : withUnsafeBytes(of: code) { Array($0) }
    }
}
