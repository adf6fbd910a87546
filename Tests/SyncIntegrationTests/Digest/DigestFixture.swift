import Digests
@testable import DownloadService
import Model
import NIOCore
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar
import Telemetry
import Testing
import WireJSON

/// A row as the last page that brought it had it.
struct TermOfRow: Hashable {
    let table: String
    let key: String
    let version: Int64
    let term: Int64
}

extension SyncedDatabase {
    /// The live rows of a user, from what pages bring: the bytes of payloads are hashed as they
    /// come.
    func termsOfPages(_ user: String) async throws -> Set<TermOfRow> {
        var rows: [String: TermOfRow] = [:]
        var after: Int64 = 0
        while true {
            let page = try await pull(user) {
                $0.after = after
                $0.includeSelf = true
                $0.fresh = true
            }
            for (place, row) in try Self.changes(page.body) { rows[place] = row }
            after = page.message.nextAfter
            if !page.message.hasMore_p { return Set(rows.values.filter { $0.term >= 0 }) }
        }
    }

    /// The changes of a page, by table and key. A delete has the term -1.
    static func changes(_ body: ByteBuffer) throws -> [(place: String, row: TermOfRow)] {
        var changes: [(String, TermOfRow)] = []
        let bytes = Array(body.readableBytesView)
        try bytes.withUnsafeBufferPointer { bytes in
            var reader = JSONReader(bytes)
            try reader.readObject { reader, member throws(JSONError) in
                guard reader.key(member, is: "changes") else {
                    _ = try reader.skipValue()
                    return
                }
                try reader.readArray { reader throws(JSONError) in
                    let row = try change(&reader, bytes)
                    changes.append(("\(row.table) \(row.key)", row))
                }
            }
        }
        return changes
    }

    private static func change(
        _ reader: inout JSONReader, _ bytes: UnsafeBufferPointer<UInt8>
    ) throws(JSONError) -> TermOfRow {
        var table = "", key = ""
        var version: Int64 = 0
        var payload: Range<Int>?
        try reader.readObject { reader, member throws(JSONError) in
            if reader.key(member, is: "table") {
                table = try reader.readString()
            } else if reader.key(member, is: "pk") {
                key = try reader.readString()
            } else if reader.key(member, is: "server_version") {
                version = try reader.readInt64()
            } else if reader.key(member, is: "payload") {
                payload = try reader.skipValue().range
            } else {
                _ = try reader.skipValue()
            }
        }
        let term = payload.map {
            RowTerm.term(
                key: key, version: version, payload: UnsafeBufferPointer(rebasing: bytes[$0]))
        }
        return TermOfRow(table: table, key: key, version: version, term: term ?? -1)
    }

    /// A digest as the service answers it.
    func digest(
        _ user: String, roles: [String] = [], metrics: MetricsRegistry = MetricsRegistry(),
        _ fill: (inout ReadDigestRequest) -> Void = { _ in }
    ) async throws -> RPCReply<ReadDigestReply> {
        var request = ReadDigestRequest()
        fill(&request)
        let digest = ReadDigest(
            reader: reader, turns: DigestTurns(), metrics: DownloadMetrics(metrics),
            logger: Self.logger)
        return try await digest(request, Self.context(user, roles))
    }

    /// Rows as the service answers them.
    func rows(
        _ user: String, roles: [String] = [], table: String = "notes", _ keys: [String],
        after: Int64 = 0, compares: Bool = false, metrics: MetricsRegistry = MetricsRegistry()
    ) async throws -> RPCReply<PullChangesReply> {
        var request = ReadRowsRequest()
        request.after = after
        request.compares = compares
        let list = keys.map { "\"\($0)\"" }.joined(separator: ",")
        let body = #"{"schema":"s","table":"\#(table)","keys":[\#(list)]}"#
        let rows = ReadRows(
            reader: reader, turns: try PageTurns(Configuration()),
            metrics: DownloadMetrics(metrics), logger: Self.logger)
        return try await rows(request, ByteBuffer(string: body), Self.context(user, roles))
    }

    private static func context(_ user: String, _ roles: [String]) -> CallContext {
        CallContext(
            requestID: "test", deadline: .now + .seconds(60),
            caller: CallerIdentity(
                user: user, device: "reader", roles: roles, keyKinds: keyKinds))
    }

    /// The sums of all tables that have rows: `table live sum`.
    static func sums(_ rows: Set<TermOfRow>) -> [String] {
        Dictionary(grouping: rows, by: \.table).map { table, rows in
            "\(table) \(rows.count) \(rows.map(\.term).reduce(0, RowTerm.add))"
        }.sorted()
    }

    /// The same as the service answers it.
    func sums(_ user: String, roles: [String] = []) async throws -> [String] {
        let text = String(buffer: try await digest(user, roles: roles).body)
        return text.matches(of: /"table":"(\w+)","live":(\d+),"sum":(\d+)/)
            .filter { $0.2 != "0" }.map { "\($0.1) \($0.2) \($0.3)" }.sorted()
    }

    /// Every row of a table with its term, as the service lists it by parts; and the sums of the
    /// parts, which must be those of the rows that are listed in them.
    func terms(_ user: String, table: String, count: Int = 256) async throws -> Set<TermOfRow> {
        let sums = String(
            buffer: try await digest(user) {
                $0.table = table
                $0.bucketCount = UInt32(count)
            }.body
        ).matches(of: /\[(\d+),(\d+)\]/).map { "\($0.1) \($0.2)" }
        #expect(sums.count == count)
        var found: Set<TermOfRow> = []
        let parts = sums.indices.filter { sums[$0] != "0 0" }
        for part in parts {
            let text = String(
                buffer: try await digest(user) {
                    $0.table = table
                    $0.bucketCount = UInt32(count)
                    $0.buckets = [UInt32(part)]
                }.body)
            let pattern = /"pk":"([^"]+)","server_version":(\d+),"term":(\d+)/
            let rows = text.matches(of: pattern).map {
                TermOfRow(
                    table: table, key: String($0.1), version: Int64($0.2) ?? 0,
                    term: Int64($0.3) ?? 0)
            }
            #expect(
                sums[part] == "\(rows.count) \(rows.map(\.term).reduce(0, RowTerm.add))")
            #expect(rows.allSatisfy { RowBuckets.bucket(of: $0.key, count: count) == part })
            found.formUnion(rows)
        }
        return found
    }

    /// Whether any user's digest is not that of what pages bring.
    func differenceOfDigests() async throws -> String? {
        let users = try await value("SELECT string_agg(user_id, ' ') FROM sync.scope") ?? ""
        for user in users.split(separator: " ").map(String.init) {
            let (pages, sums) = (Self.sums(try await termsOfPages(user)), try await sums(user))
            if pages != sums { return "digest of \(user): \(sums), pages: \(pages)" }
        }
        return nil
    }

    /// Expects the digest to be that of what pages bring.
    func expectDigest(
        _ what: String, of user: String = "ann", sourceLocation: SourceLocation = #_sourceLocation
    ) async throws {
        let pages = try await termsOfPages(user)
        let sums = try await sums(user)
        #expect(sums == Self.sums(pages), "\(what)", sourceLocation: sourceLocation)
    }
}
