import WireJSON

/// The answer to an upload: one status per change, in the order in which they were sent.
struct UploadAnswer {
    let statuses: [ChangeStatus]
    /// The log's last change after the upload; nil if the server does not tell.
    var history: HistoryPair?

    /// - Throws: `JSONError` if the body is not such an answer; nothing of it is used then.
    init(body: [UInt8]) throws(JSONError) {
        let parsed = body.withUnsafeBufferPointer { bytes -> Result<[ChangeStatus], JSONError> in
            do throws(JSONError) { return .success(try Self.parse(bytes)) } catch {
                return .failure(error)
            }
        }
        statuses = try parsed.get()
    }

    private static func parse(_ bytes: UnsafeBufferPointer<UInt8>) throws(JSONError)
        -> [ChangeStatus]
    {
        var reader = JSONReader(bytes, rules: JSONRules(refusesDuplicateKeys: false))
        var statuses: [ChangeStatus]?
        try reader.readObject { reader, key throws(JSONError) in
            guard reader.key(key, is: "statuses") else {
                _ = try reader.skipValue()
                return
            }
            var read: [ChangeStatus] = []
            try reader.readArray { reader throws(JSONError) in read.append(try status(&reader)) }
            statuses = read
        }
        try reader.expectEnd()
        guard let statuses else {
            throw JSONError("the body does not answer /sync/upload", at: 0)
        }
        return statuses
    }

    private static func status(_ reader: inout JSONReader) throws(JSONError) -> ChangeStatus {
        var word = ""
        var version: Int64?
        var row: RemoteRow?
        var message: String?
        var reason: String?
        try reader.readObject { reader, key throws(JSONError) in
            if try reader.peek() == .null {
                try reader.readNull()
            } else if reader.key(key, is: "status") {
                word = try reader.readString()
            } else if reader.key(key, is: "new_server_version") {
                version = try reader.readNumber("new_server_version")
            } else if reader.key(key, is: "message") {
                message = try reader.readString()
            } else if reader.key(key, is: "server_row") {
                row = try remoteRow(&reader)
            } else if reader.key(key, is: "invalid") {
                reason = try invalidReason(&reader)
            } else {
                _ = try reader.skipValue()
            }
        }
        switch word {
        case "applied": return .applied(version: version)
        case "conflict": return .conflict(row: row)
        case "invalid":
            return .invalid(.byServer(reason: reason ?? "invalid", message: message))
        case "materialize_error": return .materializeError(message: message)
        default: return .other(word)
        }
    }

    private static func invalidReason(_ reader: inout JSONReader) throws(JSONError) -> String? {
        var reason: String?
        try reader.readObject { reader, key throws(JSONError) in
            if reader.key(key, is: "reason") {
                reason = try reader.readString()
            } else {
                _ = try reader.skipValue()
            }
        }
        return reason
    }

    private static func remoteRow(_ reader: inout JSONReader) throws(JSONError) -> RemoteRow {
        var version: Int64 = 0
        var isDeleted = false
        var payload: [UInt8]?
        var source: String?
        var change: Int64?
        try reader.readObject { reader, key throws(JSONError) in
            if try reader.peek() == .null {
                try reader.readNull()
            } else if reader.key(key, is: "server_version") {
                version = try reader.readNumber("server_version")
            } else if reader.key(key, is: "deleted") {
                isDeleted = try reader.readBool()
            } else if reader.key(key, is: "payload") {
                let slice = try reader.skipValue()
                payload = slice.kind == .object ? Array(reader.bytes[slice.range]) : nil
            } else if reader.key(key, is: "source_id") {
                source = try reader.readString()
            } else if reader.key(key, is: "source_change_id") {
                change = try reader.readChangeID()
            } else {
                _ = try reader.skipValue()
            }
        }
        return RemoteRow(
            version: version, payload: isDeleted ? nil : payload, sourceID: source, changeID: change
        )
    }
}
