import Model
import NIOCore
import Postgres
import Sidecar
import WireJSON

/// Writes the rows of a result as the wire's `changes`, straight from libpq's memory into the answer.
struct JSONPageWriter: PageWriter {
    /// First guess of a row's size on the wire, in bytes; the buffer grows where it is too low.
    private static let bytesPerRow = 400
    /// Bytes of a row's member names, punctuation, numbers and time at the most.
    private static let fixedBytes = 160 + 4 * BytePen.longestNumber + 32

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
    private var lastTime: (microseconds: Int64, text: [UInt8])?
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
        let sequence = try result.int64(row, PageColumn.sequence)
        let version = try result.int64(row, PageColumn.version)
        let changeID = try result.int64(row, PageColumn.changeID)
        let time = time(try result.microsecondsSince2000(row, PageColumn.timestamp))
        let separator: StaticString = isFirst ? "{\"server_id\":" : ",{\"server_id\":"
        isFirst = false
        withExtendedLifetime(result) {
            func value(_ column: Int) -> UnsafeRawBufferPointer {
                result.unsafeBytes(row, column) ?? UnsafeRawBufferPointer(start: nil, count: 0)
            }
            let payload = operation == .delete ? nil : value(PageColumn.payload)
            let size =
                Self.fixedBytes + table.names.count + max(textKey.count, 38)
                + (payload?.count ?? 0) + device.count
            buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: size) { free in
                var pen = BytePen(free)
                pen.put(separator)
                pen.put(number: sequence)
                pen.put(table.names)
                pen.put(Self.text(of: operation))
                if table.keyKind == .text {
                    pen.put(textKey)
                } else {
                    pen.put(uuid: value(PageColumn.key))
                }
                if let payload {
                    pen.put(",\"payload\":")
                    pen.put(payload)
                }
                pen.put(",\"server_version\":")
                pen.put(number: version)
                pen.put(
                    operation == .delete
                        ? ",\"deleted\":true,\"source_id\":" : ",\"deleted\":false,\"source_id\":")
                pen.put(device)
                pen.put(",\"source_change_id\":")
                pen.put(number: changeID)
                pen.put(",\"ts\":\"")
                pen.put(time)
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

    /// Digits and sign of the longest number.
    static let longestNumber = 20

    mutating func put(number: Int64) {
        precondition(Self.longestNumber <= room - written, "a row's size was not reckoned right")
        guard let start else { return }
        if number < 0 {
            start.storeBytes(of: UInt8(ascii: "-"), toByteOffset: written, as: UInt8.self)
            written += 1
        }
        var rest = number.magnitude
        var (digits, limit) = (1, UInt64(10))
        while digits < Self.longestNumber - 1, rest >= limit {
            digits += 1
            limit *= 10
        }
        written += digits
        for back in 1...digits {
            let (quotient, digit) = rest.quotientAndRemainder(dividingBy: 10)
            start.storeBytes(
                of: UInt8(ascii: "0") &+ UInt8(truncatingIfNeeded: digit),
                toByteOffset: written - back, as: UInt8.self)
            rest = quotient
        }
    }

    /// Bytes of a uuid, and of its text in quotes.
    private static let (uuidBytes, uuidTextBytes) = (16, 38)

    /// A uuid as its text in quotes; anything else as an empty string.
    mutating func put(uuid bytes: UnsafeRawBufferPointer) {
        guard bytes.count == Self.uuidBytes, let from = bytes.baseAddress else {
            return put("\"\"")
        }
        precondition(Self.uuidTextBytes <= room - written, "a row's size was not reckoned right")
        guard let start else { return }
        // All 32 digits at once: one by one they took a sixth of the event loops' time.
        let pairs = from.loadUnaligned(as: SIMD16<UInt8>.self)
        let (high, low) = (Self.hexDigits(pairs &>> 4), Self.hexDigits(pairs & 0xF))
        let text = start + written
        text.storeBytes(of: UInt8(ascii: "\""), as: UInt8.self)
        var place = 1
        for index in 0..<Self.uuidBytes {
            if index == 4 || index == 6 || index == 8 || index == 10 {
                text.storeBytes(of: UInt8(ascii: "-"), toByteOffset: place, as: UInt8.self)
                place += 1
            }
            text.storeBytes(of: high[index], toByteOffset: place, as: UInt8.self)
            text.storeBytes(of: low[index], toByteOffset: place + 1, as: UInt8.self)
            place += 2
        }
        text.storeBytes(of: UInt8(ascii: "\""), toByteOffset: place, as: UInt8.self)
        written += Self.uuidTextBytes
    }

    /// The digits of values from 0 to 15, lower case.
    private static func hexDigits(_ values: SIMD16<UInt8>) -> SIMD16<UInt8> {
        let digits = values &+ UInt8(ascii: "0")
        let letters = values &+ (UInt8(ascii: "a") - 10)
        return digits.replacing(with: letters, where: values .> 9)
    }
}
