import Model
import NIOCore
import WireJSON

/// Writes the answer to an upload, each status once, in the order of the request.
struct UploadAnswer {
    let result: UploadResult
    let changeIDs: [ChangeID]

    /// False when a table of the batch is not registered or the batch is too large as a whole.
    var isAccepted: Bool {
        !result.outcomes.contains { outcome in
            guard case .invalid(let refusal) = outcome else { return false }
            return refusal.reason == .unregisteredTable || refusal.reason == .batchTooLarge
        }
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
            json.append(literal: "{\"source_change_id\":")
            json.append(integer: changeIDs[index])
            json.append(outcome)
            json.append(byte: UInt8(ascii: "}"))
        }
        json.append(literal: "]}\n")
        return ByteBuffer(bytes: json)
    }
}

extension [UInt8] {
    /// The members of a status behind its change id.
    fileprivate mutating func append(_ outcome: ChangeOutcome) {
        switch outcome {
        case .applied(let version):
            append(literal: ",\"status\":\"applied\"")
            if let version {
                append(literal: ",\"new_server_version\":")
                append(integer: version)
            }
        case .conflict(let row):
            append(literal: ",\"status\":\"conflict\",\"server_row\":")
            append(row)
        case .invalid(let refusal): append(refusal)
        case .materializeError(let version, let message):
            append(literal: ",\"status\":\"materialize_error\",\"new_server_version\":")
            append(integer: version)
            append(literal: ",\"message\":")
            append(jsonString: message)
        case .aborted: append(literal: ",\"status\":\"aborted\"")
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
        append(literal: ",\"ts\":")
        append(jsonString: row.timestamp)
        append(byte: UInt8(ascii: "}"))
    }

    private mutating func append(_ refusal: Refusal) {
        append(literal: ",\"status\":\"invalid\"")
        if let message = refusal.message {
            append(literal: ",\"message\":")
            append(jsonString: message)
        }
        append(literal: ",\"invalid\":{\"reason\":")
        append(jsonString: refusal.reason.rawValue)
        append(literal: ",\"details\":{")
        switch refusal.details {
        case .error:
            append(literal: "\"error\":")
            append(jsonString: refusal.message ?? refusal.reason.rawValue)
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
