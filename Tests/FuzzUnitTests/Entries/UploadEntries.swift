import Model
import NIOCore
import Sidecar
import WireJSON

@testable import DownloadService
@testable import UploadService

extension FuzzEntry {
    /// The body of an upload, read and judged change by change.
    static let uploadJSON = FuzzEntry(
        "upload-json", mostBytes: 4096, now: { try UploadProbe.read($0, .json) })

    /// The same as protobuf.
    static let uploadProtobuf = FuzzEntry(
        "upload-protobuf", mostBytes: 4096, now: { try UploadProbe.read($0, .protobuf) })

    /// The body of `/sync/keys`.
    static let leases = FuzzEntry(
        "leases", mostBytes: 4096,
        now: { bytes in
            let request = bytes.withUnsafeBufferPointer { try? KeyRequest(body: $0) }
            guard let request else { return }
            let counts = 1...Int32(KeyRequest.maximumCount)
            try hold(
                request.tables.allSatisfy { counts.contains($0.count) },
                "no table gets more numbers than may be")
        })

    /// The body of `/sync/rows`.
    static let rows = FuzzEntry(
        "rows", mostBytes: 4096,
        now: { bytes in
            let request = bytes.withUnsafeBufferPointer { try? RowsRequest(body: $0) }
            guard let request else { return }
            for kind in KeyKind.allCases {
                try hold(
                    request.stored(kind).count <= request.keys.count, "no key is made up")
            }
        })
}

private enum UploadProbe {
    private static let author = ChangeAuthor.caller(
        Caller(user: "ann", device: .init("phone"), roles: ["editor"], keyKinds: [.integer]))

    /// A column of each kind of type, columns that devices do not write, and foreign keys.
    private static let schema: UploadSchema = {
        func column(_ name: String, _ type: String, _ number: UInt32) -> Column {
            Column(name: name, typeName: type, baseType: number, isNotNull: name == "text")
        }
        let parent = TableName(schema: "public", table: "parents")
        let numbers = TableName(schema: "public", table: "numbers")
        return UploadSchema(
            catalog: Catalog(tables: [
                RegisteredTable(
                    id: 1, name: TableName(schema: "public", table: "rows"), keyKind: .uuid,
                    keyColumn: "id", mode: .table, ownerColumn: "owner",
                    columns: [
                        column("id", "uuid", 2950), column("owner", "text", 25),
                        column("text", "text", 25), column("bool", "bool", 16),
                        column("int", "int4", 23), column("float", "float8", 701),
                        column("numeric", "numeric", 1700), column("bytes", "bytea", 17),
                        column("instant", "timestamptz", 1184), column("date", "date", 1082),
                        column("clock", "interval", 1186), column("json", "jsonb", 3802),
                        column("texts", "text[]", 1009), column("ints", "int4[]", 1007),
                        column("up", "uuid", 2950), column("fixed", "text", 25),
                    ],
                    foreignKeys: [
                        ForeignKey(
                            name: "up", parent: parent,
                            columns: [.init(child: "up", parent: "id", parentType: 2950)],
                            isDeferrable: true)
                    ],
                    withheld: WithheldColumns(except: ["hidden"], readOnly: ["fixed": ["owner"]])),
                RegisteredTable(
                    id: 2, name: parent, keyKind: .uuid, keyColumn: "id", mode: .table,
                    ownerColumn: "owner",
                    columns: [column("id", "uuid", 2950), column("owner", "text", 25)]),
                RegisteredTable(
                    id: 3, name: TableName(schema: "public", table: "loose"), keyKind: .text,
                    keyColumn: "key", mode: .sidecar, ownerColumn: nil),
                RegisteredTable(
                    id: 4, name: numbers, keyKind: .integer, keyColumn: "id", mode: .table,
                    ownerColumn: nil,
                    columns: [column("id", "int2", 21), column("up", "int8", 20)],
                    foreignKeys: [
                        ForeignKey(
                            name: "up", parent: numbers,
                            columns: [.init(child: "up", parent: "id", parentType: 21)],
                            isDeferrable: true)
                    ]),
            ]))
    }()

    static func read(_ bytes: [UInt8], _ format: BodyFormat) throws {
        let batch: UploadBatch
        do throws(UndecodableUpload) {
            batch = try UploadBatch(
                ByteBuffer(bytes: bytes), format: format, author: author, schema: schema,
                limits: WireLimits())
        } catch {
            return
        }
        try hold(
            batch.changes.count + batch.rejected.count == batch.count, "each change is judged once")
        try hold(batch.changeIDs.count == batch.count, "each change has an answer")
        for change in batch.changes {
            let bounds = -WireNumber.maximum...WireNumber.maximum
            try hold(
                bounds ~= change.id && change.base <= WireNumber.maximum
                    && 0...WireNumber.maximum ~= change.lost, "a change's numbers are bounded")
            guard let payload = change.payload else { continue }
            let text = batch.body.withBytes { bytes -> [UInt8]? in
                bytes.indices.contains(payload.upperBound - 1) ? Array(bytes[payload]) : nil
            }
            let slice = try text.flatMap { try JSONProbe.scanned($0) }
            try hold(
                slice?.kind == .object && slice?.flaw == nil, "what goes to PostgreSQL is a row")
        }
    }
}
