import Digests
import WireJSON

/// An answer to `/sync/digest`: sums of what the server's log says last of each row.
struct DigestAnswer {
    /// The bounds of a row's term, and of a sum of them.
    private static let terms = 0...RowTerm.mask

    /// The last sequence of the log that was summed.
    var head: Int64 = 0
    /// The change there; nil if there is none, or the server does not tell.
    var history: HistoryPair?
    /// By table.
    var tables: [String: DigestTotal] = [:]
    /// Of all parts of one table.
    var buckets: [DigestTotal] = []
    /// The rows of some parts, by the bytes of their keys.
    var rows: [[UInt8]: KnownTerm] = [:]

    /// - Throws: `JSONError` if the body is no digest; nothing of it is used then.
    init(body: [UInt8]) throws(JSONError) {
        let parsed = body.withUnsafeBufferPointer { bytes -> Result<Self, JSONError> in
            do throws(JSONError) { return .success(try Self(parsing: bytes)) } catch {
                return .failure(error)
            }
        }
        self = try parsed.get()
    }

    private init(parsing bytes: UnsafeBufferPointer<UInt8>) throws(JSONError) {
        var reader = JSONReader(bytes, rules: JSONRules(refusesDuplicateKeys: false))
        var answer = (head: nil as Int64?, tables: [String: DigestTotal]())
        var buckets: [DigestTotal] = []
        var rows: [[UInt8]: KnownTerm] = [:]
        try reader.readObject { reader, key throws(JSONError) in
            if reader.key(key, is: "head") {
                answer.head = try reader.readNumber("head")
            } else if reader.key(key, is: "digests") {
                try reader.readArray { reader throws(JSONError) in
                    let (name, total) = try Self.table(&reader)
                    answer.tables[name] = total
                }
            } else if reader.key(key, is: "buckets") {
                try reader.readArray { reader throws(JSONError) in
                    buckets.append(try Self.bucket(&reader))
                }
            } else if reader.key(key, is: "rows") {
                try reader.readArray { reader throws(JSONError) in
                    let (key, row) = try Self.row(&reader)
                    rows[key] = row
                }
            } else {
                _ = try reader.skipValue()
            }
        }
        try reader.expectEnd()
        guard let head = answer.head else {
            throw JSONError("the body does not answer /sync/digest", at: 0)
        }
        self.head = head
        tables = answer.tables
        self.buckets = buckets
        self.rows = rows
    }

    private static func table(
        _ reader: inout JSONReader
    ) throws(JSONError) -> (String, DigestTotal) {
        var name = ""
        var total = DigestTotal()
        try reader.readObject { reader, key throws(JSONError) in
            if reader.key(key, is: "table") {
                name = try reader.readString()
            } else if reader.key(key, is: "live") {
                total.live = Int(try reader.readNumber("live"))
            } else if reader.key(key, is: "sum") {
                total.sum = try reader.readNumber("sum", in: Self.terms)
            } else {
                _ = try reader.skipValue()
            }
        }
        return (name, total)
    }

    /// A pair of a count and a sum.
    private static func bucket(_ reader: inout JSONReader) throws(JSONError) -> DigestTotal {
        var numbers: [Int64] = []
        try reader.readArray { reader throws(JSONError) in
            numbers.append(
                numbers.isEmpty
                    ? try reader.readNumber("the count of a bucket")
                    : try reader.readNumber("the sum of a bucket", in: Self.terms))
        }
        guard numbers.count == 2 else {
            throw JSONError("a bucket is not a count and a sum", at: reader.position)
        }
        return DigestTotal(live: Int(numbers[0]), sum: numbers[1])
    }

    private static func row(_ reader: inout JSONReader) throws(JSONError) -> ([UInt8], KnownTerm) {
        var name: [UInt8] = []
        var version: Int64 = 0
        var term: Int64?
        try reader.readObject { reader, key throws(JSONError) in
            if try reader.peek() == .null {
                try reader.readNull()
            } else if reader.key(key, is: "pk") {
                name = Array(try reader.readString().utf8)
            } else if reader.key(key, is: "server_version") {
                version = try reader.readNumber("server_version")
            } else if reader.key(key, is: "term") {
                term = try reader.readNumber("term", in: Self.terms)
            } else {
                _ = try reader.skipValue()
            }
        }
        return (name, KnownTerm(version: version, term: term))
    }
}
