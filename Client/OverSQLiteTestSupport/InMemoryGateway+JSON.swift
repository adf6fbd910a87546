import Foundation
import OverSQLite
import WireJSON

/// A request taken apart.
struct Call {
    let path: String
    var query: [String: String]
    let user: String
    let device: String
    let body: [UInt8]
    /// The history that the device names.
    let epoch: String?

    init(_ request: TransportRequest) throws {
        let parts = URLComponents(url: request.url, resolvingAgainstBaseURL: false)
        path = parts?.path ?? ""
        query = Dictionary((parts?.queryItems ?? []).map { ($0.name, $0.value ?? "") }) { $1 }
        let token = (request.headers["Authorization"] ?? "").replacing("Bearer ", with: "")
        let claims = Self.claims(of: token)
        user = claims["sub"] ?? ""
        device = claims["did"] ?? ""
        body = request.body ?? []
        epoch = request.headers["Oversync-Epoch"]
    }

    private static func claims(of token: String) -> [String: String] {
        let parts = token.split(separator: ".")
        guard parts.count == 3 else { return [:] }
        let padding = String(repeating: "=", count: (4 - parts[1].count % 4) % 4)
        guard let data = Data(base64Encoded: String(parts[1]) + padding) else { return [:] }
        return (try? JSONDecoder().decode([String: String].self, from: data)) ?? [:]
    }
}

/// Reads uploads, keeping payloads byte for byte.
enum UploadBody {
    static func changes(_ body: [UInt8]) throws -> [GatewayModel.Change] {
        try body.withUnsafeBufferPointer { bytes in
            var reader = JSONReader(bytes)
            var changes: [GatewayModel.Change] = []
            try reader.readObject { reader, key throws(JSONError) in
                guard reader.key(key, is: "changes") else {
                    _ = try reader.skipValue()
                    return
                }
                try reader.readArray { reader throws(JSONError) in
                    changes.append(try change(&reader))
                }
            }
            return changes
        }
    }

    private static func change(_ reader: inout JSONReader) throws(JSONError) -> GatewayModel.Change
    {
        var id: Int64 = 0
        var base: Int64 = 0
        var table = ""
        var pk = ""
        var operation = ""
        var payload: String?
        try reader.readObject { reader, key throws(JSONError) in
            if reader.key(key, is: "source_change_id") {
                id = try reader.readInt64()
            } else if reader.key(key, is: "server_version") {
                base = try reader.readInt64()
            } else if reader.key(key, is: "table") {
                table = try reader.readString()
            } else if reader.key(key, is: "pk") {
                pk = try reader.readString()
            } else if reader.key(key, is: "op") {
                operation = try reader.readString()
            } else if reader.key(key, is: "payload") {
                let slice = try reader.skipValue()
                if let flaw = slice.flaw {
                    throw JSONError(flaw.description, at: slice.range.lowerBound)
                }
                payload = String(decoding: reader.bytes[slice.range], as: UTF8.self)
            } else {
                _ = try reader.skipValue()
            }
        }
        return GatewayModel.Change(
            id: Int(id), place: .init(table: table, pk: pk), operation: operation, base: Int(base),
            payload: payload)
    }
}

/// Writes answers.
extension InMemoryGateway {
    static func json(_ status: Int, _ text: String) -> TransportResponse {
        TransportResponse(
            status: status, headers: ["content-type": "application/json"], body: Array(text.utf8))
    }

    static func answer(accepted: Bool, _ statuses: [String]) -> String {
        #"{"accepted":\#(accepted),"highest_server_seq":0,"statuses":[\#(statuses.joined(separator: ","))]}"#
    }

    static func status(
        _ change: GatewayModel.Change, _ answer: GatewayModel.Answer, showsSource: Bool
    ) -> String {
        let id = #""source_change_id":\#(change.id)"#
        switch answer {
        case .applied(let version):
            return
                #"{\#(id),"status":"applied"\#(version.map { #","new_server_version":\#($0)"# } ?? "")}"#
        case .invalid("materialize_error"):
            return #"{\#(id),"status":"materialize_error","message":"23505"}"#
        case .invalid(let reason):
            return #"{\#(id),"status":"invalid","invalid":{"reason":"\#(reason)","details":{}}}"#
        case .conflict(let row):
            let source =
                showsSource
                ? #","source_id":"\#(row.source)","source_change_id":\#(row.changeID)"# : ""
            return """
                {\(id),"status":"conflict","server_row":{"schema_name":"business",\
                "table_name":"\(change.place.table)","id":\(quoted(change.place.pk)),\
                "server_version":\(row.version),"deleted":\(row.payload == nil),\
                "payload":\(row.payload ?? "null")\(source)}}
                """
        }
    }

    static func change(_ entry: GatewayModel.Entry) -> String {
        """
        {"server_id":\(entry.sequence),"schema":"business","table":"\(entry.place.table)",\
        "op":"\(entry.operation)","pk":\(quoted(entry.place.pk)),\
        \(entry.payload.map { "\"payload\":\($0)," } ?? "")"server_version":\(entry.version),\
        "deleted":\(entry.payload == nil),"source_id":"\(entry.source)",\
        "source_change_id":\(entry.changeID),"ts":"2026-01-01T00:00:00.000000Z"}
        """
    }

    private static func quoted(_ text: String) -> String {
        var bytes: [UInt8] = []
        bytes.append(jsonString: text)
        return String(decoding: bytes, as: UTF8.self)
    }
}
