import Hummingbird
import Model
import NIOCore
import Protos
import RPC
import WireJSON

/// What a device asks before it syncs: where it stands, and what it may send.
struct DeviceRoutes: Sendable {
    /// What this server can do beyond what every client of the protocol expects.
    private static let features = [
        "atomic", "bootstrap", "epoch", "gzip", "protobuf", "wait", "watch",
    ]

    let upload: RPCClient
    let download: RPCClient
    let maximumBodyBytes: Int
    let maximumPageRows: Int

    var routes: [Route] {
        [
            Route(.get, "/sync/bootstrap", for: .users) { _, scope in
                try await bootstrap(scope)
            },
            Route(.get, "/sync/capabilities", for: .users) { _, scope in
                try await capabilities(scope)
            },
        ]
    }

    private func bootstrap(_ scope: RequestScope) async throws -> Response {
        let reply = try await download.call(
            DownloadRPC.readBootstrap, ReadBootstrapRequest(), context: scope.context()
        ).message
        var json: [UInt8] = []
        json.append(literal: "{\"known_source\":")
        json.append(bool: reply.knownSource)
        json.append(literal: ",\"next_change_id\":")
        json.append(integer: reply.nextChangeID)
        json.append(literal: ",\"highest_server_seq\":")
        json.append(integer: reply.highestServerSeq)
        json.append(literal: ",\"floor\":")
        json.append(integer: reply.floor)
        json.append(literal: ",\"epoch\":")
        json.append(jsonString: reply.epoch)
        json.append(literal: "}\n")
        return .json(.ok, ByteBuffer(bytes: json))
    }

    private func capabilities(_ scope: RequestScope) async throws -> Response {
        let reply = try await upload.call(
            UploadRPC.readCapabilities, ReadCapabilitiesRequest(), context: scope.context()
        ).message
        var json: [UInt8] = []
        json.append(literal: "{\"api_versions\":[1],\"features\":[")
        append(Self.features, to: &json) { $1.append(jsonString: $0) }
        json.append(literal: "],\"limits\":{\"changes_per_upload\":")
        json.append(integer: Int64(reply.changesPerUpload))
        json.append(literal: ",\"bytes_per_payload\":")
        json.append(integer: Int64(reply.bytesPerPayload))
        json.append(literal: ",\"bytes_per_body\":")
        json.append(integer: Int64(maximumBodyBytes))
        json.append(literal: ",\"rows_per_page\":")
        json.append(integer: Int64(maximumPageRows))
        json.append(literal: ",\"wait_seconds\":")
        json.append(integer: Int64(WireLimits.maximumWaitSeconds))
        json.append(literal: "},\"tables\":[")
        append(reply.tables, to: &json) { table, json in
            json.append(literal: "{\"schema\":")
            json.append(jsonString: table.schema)
            json.append(literal: ",\"table\":")
            json.append(jsonString: table.table)
            json.append(literal: ",\"key_kind\":")
            json.append(jsonString: table.keyKind)
            json.append(literal: ",\"read\":")
            json.append(bool: table.mayRead)
            json.append(literal: ",\"write\":")
            json.append(bool: table.mayWrite)
            json.append(byte: UInt8(ascii: "}"))
        }
        json.append(literal: "]}\n")
        return .json(.ok, ByteBuffer(bytes: json))
    }

    private func append<Element>(
        _ elements: [Element], to json: inout [UInt8], _ write: (Element, inout [UInt8]) -> Void
    ) {
        for (index, element) in elements.enumerated() {
            if index > 0 { json.append(byte: UInt8(ascii: ",")) }
            write(element, &json)
        }
    }
}
