import Digests
import Model
import Protos
import RPC
import Sidecar
import WireJSON

/// What a device asks to be summed, checked.
struct DigestRequest: Sendable {
    /// The most parts whose rows are listed at once.
    static let maximumBuckets = 64
    /// The most rows of such a list.
    static let maximumRows = 20_000

    /// What is asked for.
    enum Part: Sendable {
        /// The sums of all tables, or of one.
        case tables(named: String?)
        /// The sums of a table's parts.
        case buckets(table: String, count: Int)
        /// The rows of some parts.
        case rows(table: String, count: Int, buckets: [Int32])
    }

    let part: Part

    /// - Throws: `RPCFailure` for numbers that no table is divided by.
    init(_ request: ReadDigestRequest) throws(RPCFailure) {
        let table = request.table.isEmpty ? nil : request.table
        let count = Int(request.bucketCount)
        guard count > 0 else {
            guard request.buckets.isEmpty else { throw .invalid(Self.countAdvice) }
            part = .tables(named: table)
            return
        }
        guard RowBuckets.counts.contains(count) else { throw .invalid(Self.countAdvice) }
        guard let table else { throw .invalid("buckets are of one table: name it") }
        guard !request.buckets.isEmpty else {
            part = .buckets(table: table, count: count)
            return
        }
        guard request.buckets.count <= Self.maximumBuckets,
            request.buckets.allSatisfy({ Int($0) < count })
        else {
            throw .invalid(
                "bucket must name at most \(Self.maximumBuckets) numbers from 0 to \(count - 1)")
        }
        part = .rows(table: table, count: count, buckets: request.buckets.map(Int32.init))
    }

    private static let countAdvice =
        "buckets must be one of \(RowBuckets.counts.map(String.init).joined(separator: ", "))"
}

/// The rows whose newest changes a device asks for.
struct RowsRequest: Sendable {
    /// The most rows that are asked for at once.
    static let maximumKeys = 1000

    let schema: String
    let table: String
    /// As the device writes them.
    let keys: [String]

    /// Reads the body: `{"schema": "…", "table": "…", "keys": ["…"]}`.
    ///
    /// - Throws: `RPCFailure` for any other body.
    init(body: UnsafeBufferPointer<UInt8>) throws(RPCFailure) {
        var schema = "", table = ""
        var keys: [String] = []
        var reader = JSONReader(body)
        do throws(JSONError) {
            try reader.readObject { reader, member throws(JSONError) in
                if reader.key(member, is: "schema") {
                    schema = try reader.readString()
                } else if reader.key(member, is: "table") {
                    table = try reader.readString()
                } else if reader.key(member, is: "keys") {
                    try reader.readArray { reader throws(JSONError) in
                        let key = try reader.readString()
                        if keys.count <= Self.maximumKeys { keys.append(key) }
                    }
                } else {
                    _ = try reader.skipValue()
                }
            }
            try reader.expectEnd()
        } catch {
            throw .invalid("the body must name schema, table and keys: \(error.description)")
        }
        guard keys.count <= Self.maximumKeys else {
            throw .invalid("keys must be at most \(Self.maximumKeys)")
        }
        self.schema = schema
        self.table = table
        self.keys = keys
    }

    /// The keys as the sidecar keeps them, each once. Of one that the table cannot have there is no
    /// row, as a device with books that are wrong has to learn, too.
    func stored(_ kind: KeyKind) -> [RowKey] {
        Array(Set(keys.compactMap { RowKey($0, kind: kind) }))
    }
}

extension RPCFailure {
    static func invalid(_ message: String) -> RPCFailure {
        RPCFailure(.invalidArgument, code: "invalid_request", message: message)
    }

    /// Of a table that is not there and one that is not open to the caller alike.
    static let tableNotRead = RPCFailure.invalid("table must name one that the caller may read")
}
