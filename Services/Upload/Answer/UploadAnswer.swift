import Model
import NIOCore
import WireJSON

/// Writes the answer to an upload, each status once, in the order of the request.
struct UploadAnswer {
    let result: UploadResult
    let changeIDs: [ChangeID]

    /// False when a table of the batch is not registered or not open to the caller, or the batch is too large
    /// as a whole.
    var isAccepted: Bool {
        !result.outcomes.contains { outcome in
            guard case .invalid(let rejection) = outcome else { return false }
            switch rejection.reason {
            case .unregisteredTable, .forbiddenTable, .batchTooLarge: return true
            case .foreignKeyMissing, .badPayload, .rowMissing, .keyTaken: return false
            }
        }
    }

    /// One status by itself.
    static func status(_ outcome: ChangeVerdict, changeID: ChangeID) -> ByteBuffer {
        var json: [UInt8] = []
        json.append(outcome, id: changeID)
        json.append(literal: "\n")
        return ByteBuffer(bytes: json)
    }

    func encoded() -> ByteBuffer {
        var json: [UInt8] = []
        json.reserveCapacity(64 + result.outcomes.count * 72)
        json.append(literal: "{\"accepted\":")
        json.append(bool: isAccepted)
        json.append(literal: ",\"highest_server_seq\":")
        json.append(integer: result.highestSequence)
        json.append(literal: ",\"statuses\":[")
        for (index, outcome) in result.outcomes.enumerated() {
            if index > 0 { json.append(byte: UInt8(ascii: ",")) }
            json.append(outcome, id: changeIDs[index])
        }
        json.append(literal: "]}\n")
        return ByteBuffer(bytes: json)
    }
}

extension [UInt8] {
    fileprivate mutating func append(_ outcome: ChangeVerdict, id: ChangeID) {
        append(literal: "{\"source_change_id\":")
        append(integer: id)
        appendMembers(outcome)
        append(byte: UInt8(ascii: "}"))
    }

    /// The members of a status after its change id.
    private mutating func appendMembers(_ outcome: ChangeVerdict) {
        append(literal: ",\"status\":\"")
        append(contentsOf: outcome.status.utf8)
        append(byte: UInt8(ascii: "\""))
        switch outcome {
        case .applied(let version):
            if let version {
                append(literal: ",\"new_server_version\":")
                append(integer: version)
            }
        case .conflict(let row):
            append(literal: ",\"server_row\":")
            append(row)
        case .invalid(let rejection): append(rejection)
        case .materializeError(let version, let message):
            append(literal: ",\"new_server_version\":")
            append(integer: version)
            append(literal: ",\"message\":")
            append(jsonString: message)
        case .aborted: break
        }
    }

    private mutating func append(_ row: ServerRow) {
        append(literal: "{\"schema_name\":")
        append(jsonString: row.table.schema)
        append(literal: ",\"table_name\":")
        append(jsonString: row.table.table)
        append(literal: ",\"id\":")
        append(jsonString: row.key.text)
        append(literal: ",\"server_version\":")
        append(integer: row.version)
        append(literal: ",\"deleted\":")
        append(bool: row.isDeleted)
        append(literal: ",\"payload\":")
        if let payload = row.payload {
            append(contentsOf: payload)
        } else {
            append(literal: "null")
        }
        append(literal: ",\"source_id\":")
        append(jsonString: row.device)
        append(literal: ",\"source_change_id\":")
        append(integer: row.changeID)
        if !row.timestamp.isEmpty {
            append(literal: ",\"ts\":")
            append(jsonString: row.timestamp)
        }
        append(byte: UInt8(ascii: "}"))
    }

    private mutating func append(_ rejection: Rejection) {
        if let message = rejection.message {
            append(literal: ",\"message\":")
            append(jsonString: message)
        }
        append(literal: ",\"invalid\":{\"reason\":")
        append(jsonString: rejection.reason.rawValue)
        append(literal: ",\"details\":{")
        switch rejection.details {
        case .error:
            append(literal: "\"error\":")
            append(jsonString: rejection.message ?? rejection.reason.rawValue)
        case .missing(let labels):
            append(literal: "\"missing\":[")
            for (index, label) in labels.enumerated() {
                if index > 0 { append(byte: UInt8(ascii: ",")) }
                append(jsonString: label)
            }
            append(byte: UInt8(ascii: "]"))
        case .table(let name):
            append(literal: "\"schema\":")
            append(jsonString: name.schema)
            append(literal: ",\"table\":")
            append(jsonString: name.table)
        }
        append(literal: "}}")
    }
}
