import Foundation
import Model
import NIOCore
import Postgres
import Protos
import Sidecar
import SwiftProtobuf

/// Writes a page as `oversync.wire.v1.DownloadResponse`. Payloads stay the JSON text that they are.
struct ProtobufPageWriter: PageWriter {
    private let catalog: Catalog
    private let devices: [Int32: String]
    private var response = BodyDownloadResponse()

    init(catalog: Catalog, devices: [Int32: String]) {
        self.catalog = catalog
        self.devices = devices
    }

    mutating func append(_ result: PostgresResult, row: Int) throws {
        let id = try result.int16(row, PageColumn.table)
        guard let table = catalog.identity(id) else { throw UnknownTable(id: id) }
        let operation =
            Operation(letter: try result.char(row, PageColumn.operation)) ?? .update
        var change = BodyDownloadChange()
        change.serverID = try result.int64(row, PageColumn.sequence)
        change.schema = table.name.schema
        change.table = table.name.table
        change.op = operation.rawValue
        let key = try result.bytea(row, PageColumn.key)
        change.pk = key.withUnsafeBufferPointer {
            RowKey(stored: $0, kind: table.keyKind)?.text ?? ""
        }
        if operation != .delete {
            change.payload = result.withBytes(row, PageColumn.payload) {
                $0.map { Data($0) } ?? Data()
            }
        }
        change.serverVersion = try result.int64(row, PageColumn.version)
        change.deleted = operation == .delete
        change.sourceID = devices[try result.int32(row, PageColumn.source)] ?? ""
        change.sourceChangeID = try result.int64(row, PageColumn.changeID)
        let time = try result.microsecondsSince2000(row, PageColumn.timestamp)
        change.ts = String(decoding: WireTime.text(microsecondsSince2000: time), as: UTF8.self)
        response.changes.append(change)
    }

    mutating func finish(_ page: Page) -> ByteBuffer {
        response.hasMore_p = page.hasMore
        response.nextAfter = page.nextAfter
        response.windowUntil = page.windowUntil
        // Only a message with required fields or an Any can fail to be written.
        let bytes: [UInt8] = (try? response.serializedBytes()) ?? []
        return ByteBuffer(bytes: bytes)
    }
}
