/// Compares the tables that the engine syncs with those that the server offers to the user.
enum ServedTables {
    /// - Parameters:
    ///   - wanted: the tables' names in lower case.
    ///   - offered: the server's tables; empty if it names none.
    static func notices(
        wanted: [String], schema: String, offered: [Capabilities.Table]
    ) -> [SyncNotice] {
        if offered.isEmpty { return [] }
        let schema = schema.isEmpty ? "public" : schema
        let here = Set(offered.filter { $0.schema == schema && $0.read != false }.map(\.table))
        let missing = wanted.filter { !here.contains($0) }
        if !missing.isEmpty, missing.count == wanted.count {
            let others = Set(offered.filter { wanted.contains($0.table) }.map(\.schema)).sorted()
            return [
                SyncNotice(
                    .unknownSchema, of: schema,
                    "the server offers none of the engine's tables in this schema",
                    advice: others.isEmpty
                        ? "register the tables on the server, or check the user's roles"
                        : "set the configuration's schema to \(others.joined(separator: " or "))")
            ]
        }
        return missing.map {
            SyncNotice(
                .unservedTable, of: $0, "the server does not offer this table to this user",
                advice: "register the table on the server, or check the user's roles")
        }
    }
}
