import Model
import NIOCore
import Postgres
import Sidecar
import WireJSON

/// Writes the rows of a result as the wire's `changes`, straight from libpq's memory into the answer.
struct JSONPageWriter: PageWriter {
    /// First guess of a row's size on the wire, in bytes; the buffer grows where it is too low.
    private static let bytesPerRow = 400

    /// What the parts of a row that repeat look like on the wire, made once a page.
    private struct TableText {
        let names: [UInt8]
        let keyKind: KeyKind
    }

    private let catalog: Catalog
    private var tables: [TableID: TableText] = [:]
    private var devices: [Int32: [UInt8]]
    private var buffer: ByteBuffer
    private var isFirst = true

    init(
        catalog: Catalog, devices: [Int32: String], expecting rows: Int
    ) {
        self.catalog = catalog
        self.devices = devices.mapValues { device in
            var text: [UInt8] = []
            text.append(jsonString: device)
            return text
        }
        buffer = ByteBufferAllocator().buffer(capacity: rows * Self.bytesPerRow + 128)
        buffer.append(literal: "{\"changes\":[")
    }

    mutating func finish(_ page: Page) -> ByteBuffer {
        buffer.append(literal: "],\"has_more\":")
        buffer.append(bool: page.hasMore)
        buffer.append(literal: ",\"next_after\":")
        buffer.append(integer: page.nextAfter)
        buffer.append(literal: ",\"window_until\":")
        buffer.append(integer: page.windowUntil)
        buffer.append(literal: "}\n")
        return buffer
    }

    mutating func append(_ result: PostgresResult, row: Int) throws {
        let table = try table(try result.int16(row, PageColumn.table))
        let operation = Operation(letter: try result.char(row, PageColumn.operation)) ?? .update
        if !isFirst { buffer.append(byte: UInt8(ascii: ",")) }
        isFirst = false
        buffer.append(literal: "{\"server_id\":")
        append(raw: result, row, PageColumn.sequence)
        buffer.writeBytes(table.names)
        buffer.append(literal: ",\"op\":\"")
        buffer.append(operation)
        buffer.append(literal: "\",\"pk\":")
        try append(key: result, row, table.keyKind)
        if operation != .delete {
            buffer.append(literal: ",\"payload\":")
            append(raw: result, row, PageColumn.payload)
        }
        buffer.append(literal: ",\"server_version\":")
        append(raw: result, row, PageColumn.version)
        buffer.append(literal: ",\"deleted\":")
        buffer.append(bool: operation == .delete)
        buffer.append(literal: ",\"source_id\":")
        buffer.writeBytes(devices[try result.int32(row, PageColumn.source)] ?? Array("\"\"".utf8))
        buffer.append(literal: ",\"source_change_id\":")
        append(raw: result, row, PageColumn.changeID)
        buffer.append(literal: ",\"ts\":\"")
        append(timestamp: result, row)
        buffer.append(literal: "\"}")
    }

    /// A value whose text is JSON already.
    private mutating func append(raw result: PostgresResult, _ row: Int, _ column: Int) {
        result.withBytes(row, column) { bytes in
            if let bytes { buffer.writeBytes(bytes) }
        }
    }

    /// PostgreSQL's text of a bytea is `\x` and hexadecimal digits, lower case: a uuid needs only dashes.
    private mutating func append(
        key result: PostgresResult, _ row: Int, _ kind: KeyKind
    ) throws {
        if kind == .text {
            let bytes = try result.bytea(row, PageColumn.key)
            bytes.withUnsafeBufferPointer { buffer.append(jsonString: $0) }
            return
        }
        result.withBytes(row, PageColumn.key) { bytes in
            guard let bytes, bytes.count == 34 else { return buffer.append(literal: "\"\"") }
            buffer.append(byte: UInt8(ascii: "\""))
            for part in [2..<10, 10..<14, 14..<18, 18..<22, 22..<34] {
                if part.lowerBound > 2 { buffer.append(byte: UInt8(ascii: "-")) }
                buffer.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[part]))
            }
            buffer.append(byte: UInt8(ascii: "\""))
        }
    }

    /// `2026-01-31 12:00:00.123` becomes `2026-01-31T12:00:00.123Z`.
    private mutating func append(timestamp result: PostgresResult, _ row: Int) {
        result.withBytes(row, PageColumn.timestamp) { bytes in
            guard let bytes, bytes.count > 14 else { return }
            buffer.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[..<10]))
            buffer.append(byte: UInt8(ascii: "T"))
            buffer.writeBytes(UnsafeRawBufferPointer(rebasing: bytes[11...]))
            buffer.append(byte: UInt8(ascii: "Z"))
        }
    }

    private mutating func table(_ id: TableID) throws -> TableText {
        if let known = tables[id] { return known }
        guard let table = catalog.identity(id) else { throw UnknownTable(id: id) }
        var names: [UInt8] = []
        names.append(literal: ",\"schema\":")
        names.append(jsonString: table.name.schema)
        names.append(literal: ",\"table\":")
        names.append(jsonString: table.name.table)
        let text = TableText(names: names, keyKind: table.keyKind)
        tables[id] = text
        return text
    }
}

extension ByteBuffer: JSONTextBuffer {
    package mutating func append(byte: UInt8) { writeInteger(byte) }
    package mutating func append(bytes: UnsafeBufferPointer<UInt8>) { writeBytes(bytes) }

    fileprivate mutating func append(_ operation: Model.Operation) {
        switch operation {
        case .insert: append(literal: "INSERT")
        case .update: append(literal: "UPDATE")
        case .delete: append(literal: "DELETE")
        }
    }
}
