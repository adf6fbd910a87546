import Model
import Postgres
import Sidecar

@testable import UploadService

extension BusinessStatements {
    /// What writes one row, of nulls but for its key, with all columns of its table: a command for
    /// each form in which its values can come.
    func writes(
        _ key: String, of index: Int, _ kind: MaterializeStatement.Kind,
        expecting rows: MaterializeStatement.Expectation, for scope: NamedScope
    ) -> [Command] {
        let table = schema.tables[index]
        let registered = table.registered
        var columns = ColumnSet()
        for column in registered.columns.indices { columns.insert(column) }
        let usual = MaterializeStatement.Form(
            BusinessWrites.Shape(table: index, kind, columns), of: table)
        let forms: [MaterializeStatement.Form] =
            kind == .delete || usual == .json ? [.json] : [.json, .texts]
        return forms.map { form in
            var bindings = Bindings()
            if kind == .delete || form == .texts {
                bindings.bind(Self.array(key, of: registered))
            } else {
                bindings.bind(
                    bytes: Array(#"[{"\#(MaterializeStatement.keyMember)":"\#(key)"}]"#.utf8))
            }
            MaterializeStatement.bind(owner: scope, of: registered, to: &bindings)
            bindings.bind(Int64(1))
            if form == .texts {
                for _ in registered.places(writing: columns) {
                    var null = ArrayBinding(of: .text)
                    null.appendNull()
                    bindings.bind(null)
                }
            }
            return Command(
                self.rows(index, kind, columns, as: form, expecting: rows), bindings)
        }
    }

    private static func array(_ key: String, of table: RegisteredTable) -> ArrayBinding {
        let isUUID = table.keyKind == .uuid
        var keys = ArrayBinding(of: isUUID ? .uuid : .text)
        let bytes = isUUID ? Stranger.bytes(ofUUID: key) : Array(key.utf8)
        bytes.withUnsafeBytes { keys.append(bytes: $0) }
        return keys
    }
}
