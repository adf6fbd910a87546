import Foundation
import Model
import NIOCore
import Protos
import Sidecar
import SwiftProtobuf

/// Writes a page as `oversync.wire.v1.DownloadResponse`. Payloads stay the JSON text that they are.
struct ProtobufPageWriter: PageWriter {
    /// Most bytes of a row's numbers and time, with all tags and lengths.
    private static let fixedBytes = 128

    private let catalog: Catalog
    private var devices: [Int32: String]
    private(set) var bytes = 0
    private var response = BodyDownloadResponse()

    init(catalog: Catalog, devices: [Int32: String]) {
        self.catalog = catalog
        self.devices = devices
    }

    mutating func learn(_ device: String, of number: Int32) { devices[number] = device }

    mutating func append(_ row: PageRow) throws {
        guard let table = catalog.identity(row.origin.table) else {
            throw UnknownTable(id: row.origin.table)
        }
        var change = BodyDownloadChange()
        change.serverID = row.sequence
        change.schema = table.name.schema
        change.table = table.name.table
        change.op = row.origin.operation.rawValue
        change.pk = try row.key(table.keyKind).text
        change.payload = row.payload.map { Data($0) } ?? Data()
        change.serverVersion = row.version
        change.deleted = row.origin.operation == .delete
        change.sourceID = devices[row.origin.source] ?? ""
        change.sourceChangeID = row.changeID
        change.ts = String(
            decoding: WireTime.text(microsecondsSince2000: row.microsecondsSince2000), as: UTF8.self
        )
        bytes +=
            Self.fixedBytes + change.payload.count
            + [change.schema, change.table, change.pk, change.sourceID]
            .reduce(0) { $0 + $1.utf8.count }
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
