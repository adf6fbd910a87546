import OverSQLite
import Synchronization
import WireJSON

/// The in-memory gateway's answer to `/sync/keys`.
extension InMemoryGateway {
    /// The maximum number of tables that a request names.
    private static let maximumTables = 100
    /// The maximum number of numbers of a table.
    private static let maximumCount: Int64 = 500

    func leaseKeys(_ call: Call) throws -> Answer {
        let asked = try KeysBody(call.body)
        guard asked.tables.count <= Self.maximumTables else {
            throw GatewayError.invalid("tables must be at most \(Self.maximumTables)")
        }
        guard Set(asked.tables.map { [$0.schema, $0.table] }).count == asked.tables.count else {
            throw GatewayError.invalid("tables must name each table once")
        }
        return state.withLock { state in
            let tables = asked.tables.map { asked -> String in
                let isOpen =
                    asked.schema == state.store.schema && state.store.tables.has(asked.table)
                    && state.mayRead(asked.table, call)
                let place = """
                    "schema":\(GatewayAnswer.quoted(asked.schema)),\
                    "table":\(GatewayAnswer.quoted(asked.table))
                    """
                guard isOpen else {
                    return "{\(place),\"ranges\":[],\"shortage\":\"forbidden_table\"}"
                }
                guard state.store.tables[asked.table]?.key == .integer else {
                    return "{\(place),\"ranges\":[],\"shortage\":\"no_sequence\"}"
                }
                let count = min(max(asked.count, 1), Self.maximumCount)
                let last = max(
                    state.lastKeys[asked.table] ?? 0, state.store.highestNumber(of: asked.table))
                guard last <= .max - count else {
                    return "{\(place),\"ranges\":[],\"shortage\":\"exhausted\"}"
                }
                state.lastKeys[asked.table] = last + count
                return """
                    {\(place),"ranges":[{"first":\(last + 1),"count":\(count),"step":1}]}
                    """
            }
            return Answer(
                text: """
                    {"epoch":"\(Self.epoch(state))","tables":[\(tables.joined(separator: ","))]}
                    """)
        }
    }
}

/// The body of a request for numbers.
private struct KeysBody {
    struct Table {
        var schema = ""
        var table = ""
        var count: Int64 = 1
    }

    var tables: [Table] = []

    init(_ body: [UInt8]) throws(GatewayError) {
        self = try GatewayError.parsed(
            body, "the body must list tables, each with schema, table and count"
        ) { bytes throws(JSONError) in try Self(parsing: bytes) }
    }

    private init(parsing bytes: UnsafeBufferPointer<UInt8>) throws(JSONError) {
        var reader = JSONReader(bytes)
        var tables: [Table] = []
        try reader.readObject { reader, member throws(JSONError) in
            guard reader.key(member, is: "tables") else {
                _ = try reader.skipValue()
                return
            }
            try reader.readArray { reader throws(JSONError) in
                var table = Table()
                try reader.readObject { reader, member throws(JSONError) in
                    if reader.key(member, is: "schema") {
                        table.schema = try reader.readString()
                    } else if reader.key(member, is: "table") {
                        table.table = try reader.readString()
                    } else if reader.key(member, is: "count") {
                        table.count = try reader.readInt64()
                    } else {
                        _ = try reader.skipValue()
                    }
                }
                // As uploads name them.
                table.schema = table.schema.isEmpty ? "public" : table.schema.lowercased()
                table.table = table.table.lowercased()
                tables.append(table)
            }
        }
        try reader.expectEnd()
        self.tables = tables
    }
}

extension GatewayStore {
    /// The highest key of a table's rows, of all users; 0 if there is none above.
    fileprivate func highestNumber(of table: String) -> Int64 {
        users.values.flatMap(\.rows.keys).filter { $0.table == table }
            .compactMap { Int64($0.pk) }.reduce(0, max)
    }
}
