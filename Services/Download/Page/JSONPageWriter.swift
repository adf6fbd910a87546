import Model
import NIOCore
import Postgres
import Sidecar
import WireJSON

/// Writes the rows of a result as the wire's `changes`, straight from libpq's memory into the answer.
struct JSONPageWriter: PageWriter {
    /// First guess of a row's size on the wire, in bytes; the buffer grows where it is too low.
    private static let bytesPerRow = 400
    /// Bytes of a row's member names and punctuation at the most.
    private static let fixedBytes = 160

    /// What the parts of a row that repeat look like on the wire, made once a page.
    private struct TableText {
        let names: [UInt8]
        let keyKind: KeyKind
    }

    private let catalog: Catalog
    private var tables: [TableID: TableText] = [:]
    private var lastTable: (id: TableID, text: TableText)?
    private let devices: [Int32: [UInt8]]
    private var lastDevice: (number: Int32, text: [UInt8]) = (.min, Array("\"\"".utf8))
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
        let device = device(try result.int32(row, PageColumn.source))
        let textKey = table.keyKind == .text ? try Self.text(ofKey: result, row) : []
        let separator: StaticString = isFirst ? "{\"server_id\":" : ",{\"server_id\":"
        isFirst = false
        withExtendedLifetime(result) {
            func value(_ column: Int) -> UnsafeRawBufferPointer {
                result.unsafeBytes(row, column) ?? UnsafeRawBufferPointer(start: nil, count: 0)
            }
            let payload = operation == .delete ? nil : value(PageColumn.payload)
            let (sequence, version) = (value(PageColumn.sequence), value(PageColumn.version))
            let (changeID, time) = (value(PageColumn.changeID), value(PageColumn.timestamp))
            let key = value(PageColumn.key)
            let size =
                Self.fixedBytes + sequence.count + table.names.count + max(textKey.count, 38)
                + (payload?.count ?? 0) + version.count + device.count + changeID.count + time.count
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { free in
                var pen = BytePen(free)
                pen.put(separator)
                pen.put(sequence)
                pen.put(table.names)
                pen.put(Self.text(of: operation))
                if table.keyKind == .text { pen.put(textKey) } else { pen.put(uuidKey: key) }
                if let payload {
                    pen.put(",\"payload\":")
                    pen.put(payload)
                }
                pen.put(",\"server_version\":")
                pen.put(version)
                pen.put(
                    operation == .delete
                        ? ",\"deleted\":true,\"source_id\":" : ",\"deleted\":false,\"source_id\":")
                pen.put(device)
                pen.put(",\"source_change_id\":")
                pen.put(changeID)
                pen.put(",\"ts\":\"")
                pen.put(timestamp: time)
                pen.put("\"}")
                return pen.written
            }
        }
    }

    private static func text(of operation: Model.Operation) -> StaticString {
        switch operation {
        case .insert: ",\"op\":\"INSERT\",\"pk\":"
        case .update: ",\"op\":\"UPDATE\",\"pk\":"
        case .delete: ",\"op\":\"DELETE\",\"pk\":"
        }
    }

    private static func text(ofKey result: PostgresResult, _ row: Int) throws -> [UInt8] {
        var text: [UInt8] = []
        let bytes = try result.bytea(row, PageColumn.key)
        bytes.withUnsafeBufferPointer { text.append(jsonString: $0) }
        return text
    }

    /// The device's name in quotes. Rows of one device mostly stand together.
    private mutating func device(_ number: Int32) -> [UInt8] {
        if number != lastDevice.number {
            lastDevice = (number, devices[number] ?? Array("\"\"".utf8))
        }
        return lastDevice.text
    }

    private mutating func table(_ id: TableID) throws -> TableText {
        if let lastTable, lastTable.id == id { return lastTable.text }
        let text = try tables[id] ?? makeText(id)
        tables[id] = text
        lastTable = (id, text)
        return text
    }

    private func makeText(_ id: TableID) throws -> TableText {
        guard let table = catalog.identity(id) else { throw UnknownTable(id: id) }
        var names: [UInt8] = []
        names.append(literal: ",\"schema\":")
        names.append(jsonString: table.name.schema)
        names.append(literal: ",\"table\":")
        names.append(jsonString: table.name.table)
        return TableText(names: names, keyKind: table.keyKind)
    }
}

extension ByteBuffer: JSONTextBuffer {
    package mutating func append(byte: UInt8) { writeInteger(byte) }
    package mutating func append(bytes: UnsafeBufferPointer<UInt8>) { writeBytes(bytes) }
}

/// Puts bytes one behind the other into memory that is large enough for all of them: a buffer that looks for room
/// with every piece takes as long as the rest of a row.
private struct BytePen {
    private let start: UnsafeMutableRawPointer?
    private let room: Int
    private(set) var written = 0

    init(_ memory: UnsafeMutableRawBufferPointer) {
        (start, room) = (memory.baseAddress, memory.count)
    }

    mutating func put(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= room - written, "a row's size was not reckoned right")
        guard let start, let from = bytes.baseAddress else { return }
        (start + written).copyMemory(from: from, byteCount: bytes.count)
        written += bytes.count
    }

    mutating func put(_ bytes: [UInt8]) { bytes.withUnsafeBytes { put($0) } }

    mutating func put(_ text: StaticString) {
        put(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    /// PostgreSQL's text of a bytea is `\x` and hexadecimal digits, lower case: a uuid needs only dashes.
    mutating func put(uuidKey key: UnsafeRawBufferPointer) {
        guard key.count == 34 else { return put("\"\"") }
        put("\"")
        for part in [2..<10, 10..<14, 14..<18, 18..<22, 22..<34] {
            if part.lowerBound > 2 { put("-") }
            put(UnsafeRawBufferPointer(rebasing: key[part]))
        }
        put("\"")
    }

    /// `2026-01-31 12:00:00.123` becomes `2026-01-31T12:00:00.123Z`.
    mutating func put(timestamp time: UnsafeRawBufferPointer) {
        guard time.count > 14 else { return }
        put(UnsafeRawBufferPointer(rebasing: time[..<10]))
        put("T")
        put(UnsafeRawBufferPointer(rebasing: time[11...]))
        put("Z")
    }
}
