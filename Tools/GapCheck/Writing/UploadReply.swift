import NIOCore
import WireJSON

/// The answer to an upload: the outcome of each change, in the order of the request.
struct UploadReply {
    private(set) var outcomes: [WriterOutcome] = []

    init(_ body: ByteBuffer) throws {
        outcomes = try body.withUnsafeReadableBytes { raw in
            var reader = JSONReader(raw.bindMemory(to: UInt8.self))
            return try Self.outcomes(&reader)
        }
    }

    private static func outcomes(_ reader: inout JSONReader) throws(JSONError) -> [WriterOutcome] {
        var outcomes: [WriterOutcome] = []
        try reader.readObject { reader, member throws(JSONError) in
            guard reader.key(member, is: "statuses") else {
                _ = try reader.skipValue()
                return
            }
            try reader.readArray { reader throws(JSONError) in
                outcomes.append(try outcome(&reader))
            }
        }
        return outcomes
    }

    private static func outcome(_ reader: inout JSONReader) throws(JSONError) -> WriterOutcome {
        _ = try reader.peek()
        let start = reader.position
        var status = ""
        var version: Int64 = 0
        var server: (version: Int64, isDeleted: Bool)?
        try reader.readObject { reader, member throws(JSONError) in
            if reader.key(member, is: "status") {
                status = try reader.readString()
            } else if reader.key(member, is: "new_server_version") {
                version = try reader.readInt64()
            } else if reader.key(member, is: "server_row"), try reader.peek() == .object {
                server = try serverRow(&reader)
            } else {
                _ = try reader.skipValue()
            }
        }
        switch (status, server) {
        case ("applied", _): return .applied(version: version)
        case ("conflict", let row?):
            return .conflict(version: row.version, isDeleted: row.isDeleted)
        default:
            return .other(String(decoding: reader.bytes[start..<reader.position], as: UTF8.self))
        }
    }

    private static func serverRow(
        _ reader: inout JSONReader
    ) throws(JSONError) -> (version: Int64, isDeleted: Bool) {
        var row: (version: Int64, isDeleted: Bool) = (0, false)
        try reader.readObject { reader, member throws(JSONError) in
            if reader.key(member, is: "server_version") {
                row.version = try reader.readInt64()
            } else if reader.key(member, is: "deleted") {
                row.isDeleted = try reader.readBool()
            } else {
                _ = try reader.skipValue()
            }
        }
        return row
    }
}
