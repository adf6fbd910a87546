import Digests
import OverSQLite
import Synchronization
import WireJSON

/// The in-memory gateway's answers to `/sync/digest` and `/sync/rows`.
extension InMemoryGateway {
    /// The maximum number of buckets whose rows are listed at once.
    private static let maximumBuckets = 64
    /// The maximum number of rows that are asked for at once.
    private static let maximumKeys = 1000

    func digest(_ call: Call, _ caller: Call.Caller) throws -> Answer {
        try state.withLock { state in
            if state.isReference { throw NotThere() }
            let schema = call.query["schema"] ?? ""
            guard schema.isEmpty || isIdentifier(schema) else {
                throw GatewayError.invalid("invalid schema name")
            }
            let count = try Self.number(call.query["buckets"], "buckets")
            let buckets = try (call.query["bucket"] ?? "").split(separator: ",")
                .map { try Self.number(String($0), "bucket") }
            try Self.check(call, after: 0, of: caller, in: &state)
            let model = state.store.users[caller.user] ?? GatewayModel()
            let isServed = schema.isEmpty || schema == state.store.schema
            let served = isServed ? state.store.servedTables : []
            let names = served.filter { state.mayRead($0, call) }
            let table = call.query["table"] ?? ""
            let text: String
            if count == 0, buckets.isEmpty {
                text = model.digests(
                    of: names.filter { table.isEmpty || $0 == table }.sorted(),
                    schema: state.store.schema)
            } else {
                guard RowBuckets.counts.contains(count) else {
                    let counts = RowBuckets.counts.map(String.init).joined(separator: ", ")
                    throw GatewayError.invalid("buckets must be one of \(counts)")
                }
                guard !table.isEmpty else {
                    throw GatewayError.invalid("buckets are of one table: name it")
                }
                guard buckets.count <= Self.maximumBuckets,
                    buckets.allSatisfy({ $0 < count })
                else {
                    throw GatewayError.invalid(
                        "bucket must name at most \(Self.maximumBuckets) numbers "
                            + "from 0 to \(count - 1)")
                }
                guard names.contains(table) else { throw GatewayError.tableNotRead }
                text =
                    buckets.isEmpty
                    ? model.buckets(of: table, count: count)
                    : model.terms(of: table, in: Set(buckets), count: count)
            }
            return Answer(
                text: #"{"head":\#(model.lastSequence),\#(text)}"#,
                history: model.history(at: model.lastSequence))
        }
    }

    private static func number(_ text: String?, _ name: String) throws(GatewayError) -> Int {
        guard let text, !text.isEmpty else { return 0 }
        guard let value = UInt32(text) else { throw .invalid("\(name) must be a number") }
        return Int(value)
    }

    func rows(_ call: Call, _ caller: Call.Caller) throws -> Answer {
        try state.withLock { state in
            if state.isReference { throw NotThere() }
            let after = try PageQuery.cursor(call.query, "after")
            let wanted = try RowsBody(call.body)
            try Self.check(call, after: 0, of: caller, in: &state)
            guard wanted.keys.count <= Self.maximumKeys else {
                throw GatewayError.invalid("keys must be at most \(Self.maximumKeys)")
            }
            guard wanted.schema == state.store.schema,
                state.store.servedTables.contains(wanted.table),
                state.mayRead(wanted.table, call)
            else { throw GatewayError.tableNotRead }
            let model = state.store.users[caller.user] ?? GatewayModel()
            let page = model.newest(of: wanted.table, wanted.keys, after: after)
            let text = GatewayAnswer.page(
                page, schema: state.store.schema, hasMore: false, next: model.lastSequence,
                until: model.lastSequence)
            return Answer(text: text, history: model.history(at: model.lastSequence))
        }
    }
}

/// The body of a request for rows.
private struct RowsBody {
    var schema = ""
    var table = ""
    var keys: [String] = []

    init(_ body: [UInt8]) throws(GatewayError) {
        self = try GatewayError.parsed(body, "the body must name schema, table and keys") {
            bytes throws(JSONError) in
            try Self(parsing: bytes)
        }
    }

    private init(parsing bytes: UnsafeBufferPointer<UInt8>) throws(JSONError) {
        var reader = JSONReader(bytes)
        var (schema, table) = ("", "")
        var keys: [String] = []
        try reader.readObject { reader, member throws(JSONError) in
            if reader.key(member, is: "schema") {
                schema = try reader.readString()
            } else if reader.key(member, is: "table") {
                table = try reader.readString()
            } else if reader.key(member, is: "keys") {
                try reader.readArray { reader throws(JSONError) in
                    keys.append(try reader.readString())
                }
            } else {
                _ = try reader.skipValue()
            }
        }
        try reader.expectEnd()
        (self.schema, self.table, self.keys) = (schema, table, keys)
    }
}

extension GatewayError {
    fileprivate static let tableNotRead = invalid(
        "table must name one that the caller may read")
}

extension GatewayStore {
    /// The names of the tables; where a test named none, those that have had rows.
    fileprivate var servedTables: [String] {
        tables.all?.map(\.name) ?? Array(Set(users.values.flatMap { $0.rows.keys.map(\.table) }))
    }
}

extension GatewayModel {
    /// A live row and what it adds to a digest.
    private struct Term {
        let key: String
        let version: Int
        let term: Int64
    }

    private func terms(of table: String) -> [Term] {
        rows.compactMap { place, row in
            guard place.table == table, let payload = row.payload else { return nil }
            let term = Array(payload.utf8).withUnsafeBufferPointer {
                RowTerm.term(key: place.pk, version: Int64(row.version), payload: $0)
            }
            return Term(key: place.pk, version: row.version, term: term)
        }
    }

    fileprivate func digests(of tables: [String], schema: String) -> String {
        let texts = tables.map { table in
            let terms = terms(of: table)
            return """
                {"schema":"\(schema)","table":"\(table)","live":\(terms.count),\
                "sum":\(terms.map(\.term).reduce(0, RowTerm.add))}
                """
        }
        return #""digests":[\#(texts.joined(separator: ","))]"#
    }

    fileprivate func buckets(of table: String, count: Int) -> String {
        var totals = Array(repeating: (live: 0, sum: Int64(0)), count: count)
        for term in terms(of: table) {
            let bucket = RowBuckets.bucket(of: term.key, count: count)
            totals[bucket].live += 1
            totals[bucket].sum = RowTerm.add(totals[bucket].sum, term.term)
        }
        let texts = totals.map { "[\($0.live),\($0.sum)]" }
        return #""buckets":[\#(texts.joined(separator: ","))]"#
    }

    fileprivate func terms(of table: String, in buckets: Set<Int>, count: Int) -> String {
        let texts = terms(of: table)
            .filter { buckets.contains(RowBuckets.bucket(of: $0.key, count: count)) }
            .sorted { $0.key < $1.key }
            .map {
                """
                {"pk":\(GatewayAnswer.quoted($0.key)),"server_version":\($0.version),\
                "term":\($0.term)}
                """
            }
        return #""rows":[\#(texts.joined(separator: ","))]"#
    }

    /// The newest changes of some rows that the log still has, in its order.
    fileprivate func newest(of table: String, _ keys: [String], after: Int) -> [Entry] {
        let sequences = Set(
            keys.compactMap { rows[Place(table: table, pk: $0)]?.sequence }.filter { $0 > after })
        return log.filter { sequences.contains($0.sequence) }
    }
}
