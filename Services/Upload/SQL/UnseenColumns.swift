import Model
import Postgres
import Sidecar

/// Names in payloads that were no columns when the catalog was read, seconds ago perhaps.
///
/// Were one added since, the write would pass the device's value over. So PostgreSQL looks once more, after the
/// writes: they hold their tables, and none can get a column any more before they commit. Payloads whose names are
/// all known, the usual ones, cost nothing; others a probe of an index each, under a twentieth of the smallest upload.
struct UnseenColumns {
    /// Raised by `sync.expect_no_columns`.
    static let state = SQLState(rawValue: "OV002")

    private struct Name: Hashable {
        let table: Int
        let name: String
    }

    private let names: Set<Name>
    private let schema: UploadSchema

    init(of changes: [Change], in schema: UploadSchema) {
        self.schema = schema
        var names: Set<Name> = []
        for change in changes {
            for name in change.strangers { names.insert(Name(table: change.table, name: name)) }
        }
        self.names = names
    }

    /// What fails if one of them is a column now; empty if there are none.
    var commands: [Command] {
        guard !names.isEmpty else { return [] }
        var relations = ArrayBinding(of: .text, reserving: names.count)
        var columns = ArrayBinding(of: .text, reserving: names.count)
        for name in names {
            relations.append(schema.tables[name.table].registered.name.quotedName)
            columns.append(name.name)
        }
        var bindings = Bindings()
        bindings.bind(relations)
        bindings.bind(columns)
        return [Command(UploadStatements.expectNoColumns, bindings)]
    }
}
