import Model
import NIOCore
import Sidecar
import WireJSON

/// Writes the rows of a result as the wire's `changes`, straight from libpq's memory into the answer.
struct JSONPageWriter: PageWriter {
    /// First guess of a row's size on the wire, in bytes; the buffer grows where it is too low.
    private static let bytesPerRow = 400
    /// Most bytes of a row's member names, punctuation, numbers and time.
    private static let fixedBytes = 160 + 4 * BytePen.longestNumber + 32

    /// What the parts of a row that repeat look like on the wire, made once a page.
    private struct TableText {
        let names: [UInt8]
        let keyKind: KeyKind
    }

    private let catalog: Catalog
    private var tables: [TableID: TableText] = [:]
    private var lastTable: (id: TableID, text: TableText)?
    private var devices: [Int32: [UInt8]]
    private var lastDevice: (number: Int32, text: [UInt8])?
    private var lastTime: (microseconds: Int64, text: [UInt8])?
    private var buffer: ByteBuffer
    private var isFirst = true

    init(
        catalog: Catalog, devices: [Int32: String], expecting rows: Int
    ) {
        self.catalog = catalog
        self.devices = devices.mapValues(Self.quoted)
        buffer = ByteBufferAllocator().buffer(capacity: rows * Self.bytesPerRow + 128)
        buffer.append(literal: "{\"changes\":[")
    }

    var bytes: Int { buffer.writerIndex }

    mutating func learn(_ device: String, of number: Int32) {
        devices[number] = Self.quoted(device)
        lastDevice = nil
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

    mutating func append(_ row: PageRow) throws {
        let table = try table(row.origin.table)
        let device = device(row.origin.source)
        let key = try row.key(table.keyKind)
        let keyText = Self.quoted(key)
        let time = time(row.microsecondsSince2000)
        let separator: StaticString = isFirst ? "{\"server_id\":" : ",{\"server_id\":"
        isFirst = false
        let size =
            Self.fixedBytes + table.names.count + max(keyText.count, BytePen.uuidTextBytes)
            + (row.payload?.count ?? 0) + device.count
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { free in
            var pen = BytePen(free)
            pen.put(separator)
            pen.put(number: row.sequence)
            pen.put(table.names)
            pen.put(Self.text(of: row.origin.operation))
            switch key {
            case .uuid(let high, let low): pen.put(uuidHigh: high, low: low)
            case .text, .integer: pen.put(keyText)
            }
            if let payload = row.payload {
                pen.put(",\"payload\":")
                pen.put(payload)
            }
            pen.put(",\"server_version\":")
            pen.put(number: row.version)
            pen.put(
                row.origin.operation == .delete
                    ? ",\"deleted\":true,\"source_id\":" : ",\"deleted\":false,\"source_id\":")
            pen.put(device)
            pen.put(",\"source_change_id\":")
            pen.put(number: row.changeID)
            pen.put(",\"ts\":\"")
            pen.put(time)
            pen.put("\"}")
            return pen.written
        }
    }

    private static func text(of operation: Model.Operation) -> StaticString {
        switch operation {
        case .insert: ",\"op\":\"INSERT\",\"pk\":"
        case .update: ",\"op\":\"UPDATE\",\"pk\":"
        case .delete: ",\"op\":\"DELETE\",\"pk\":"
        }
    }

    /// A key in quotes; nothing of a uuid, which is written in place.
    private static func quoted(_ key: RowKey) -> [UInt8] {
        switch key {
        case .uuid: []
        case .text, .integer: quoted(key.text)
        }
    }

    private static func quoted(_ text: String) -> [UInt8] {
        var quoted: [UInt8] = []
        quoted.append(jsonString: text)
        return quoted
    }

    /// The device's name in quotes. Rows of one device mostly stand together.
    private mutating func device(_ number: Int32) -> [UInt8] {
        if let lastDevice, lastDevice.number == number { return lastDevice.text }
        let text = devices[number] ?? Array("\"\"".utf8)
        lastDevice = (number, text)
        return text
    }

    /// Rows of one upload have one time.
    private mutating func time(_ microseconds: Int64) -> [UInt8] {
        if let lastTime, lastTime.microseconds == microseconds { return lastTime.text }
        let text = WireTime.text(microsecondsSince2000: microseconds)
        lastTime = (microseconds, text)
        return text
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
