import Hummingbird
import HummingbirdCore
import Model
import Protos
import RPC
import WireJSON

/// What a device asks before it syncs: where it stands, and what it may send.
struct DeviceRoutes: Sendable {
    /// What this server can do beyond what every client of the protocol expects.
    private static let features = [
        "atomic", "bootstrap", "digest", "epoch", "gzip", "history", "keys", "protobuf", "wait",
        "watch",
    ]

    let upload: RPCClient
    let download: RPCClient
    let maximumBodyBytes: Int
    let maximumPageRows: Int
    let metrics: GatewayMetrics

    var routes: [Route] {
        [
            Route(.get, "/sync/bootstrap", for: .users) { try await bootstrap($0, $1) },
            Route(.get, "/sync/capabilities", for: .users) {
                try await capabilities($0, $1)
            },
        ]
    }

    private func bootstrap(
        _ request: Request, _ scope: RequestScope
    ) async throws -> Response {
        var message = ReadBootstrapRequest()
        message.tellsHistory = request.knowsHistories
        if let pair = try request.history {
            (message.historySeq, message.historyTag) = (pair.sequence, pair.tag)
        }
        message.readable = try request.readable
        let reply = try await download.call(
            DownloadRPC.readBootstrap, message, context: scope.context()
        ).message
        metrics.count(standing: reply.history)
        var response = Response.json(
            .ok,
            [
                "known_source": .bool(reply.knownSource),
                "next_change_id": .integer(reply.nextChangeID),
                "highest_server_seq": .integer(reply.highestServerSeq),
                "floor": .integer(reply.floor), "epoch": .string(reply.epoch),
                "history": reply.history.isEmpty ? nil : .string(reply.history),
            ])
        response.tell(history: reply.historySeq, reply.historyTag)
        response.tell(tables: reply.readable)
        return response
    }

    private func capabilities(
        _ request: Request, _ scope: RequestScope
    ) async throws -> Response {
        var message = ReadCapabilitiesRequest()
        message.readable = try request.readable
        let parameters = request.uri.queryParameters
        let tables = try DownloadQuery.tables(parameters["tables"])
        let schema = try DownloadQuery.schema(parameters["schema"])
        if !message.readable.isEmpty { (message.tables, message.schema) = (tables, schema) }
        let reply = try await upload.call(
            UploadRPC.readCapabilities, message, context: scope.context()
        ).message
        let readable = reply.readable.isEmpty ? nil : reply.readableTables
        var response = Response.json(
            .ok,
            [
                "api_versions": [1], "features": .array(Self.features.map { .string($0) }),
                "limits": [
                    "changes_per_upload": .integer(Int64(reply.changesPerUpload)),
                    "bytes_per_payload": .integer(Int64(reply.bytesPerPayload)),
                    "bytes_per_body": .integer(Int64(maximumBodyBytes)),
                    "rows_per_page": .integer(Int64(maximumPageRows)),
                    "wait_seconds": .integer(Int64(WireLimits.maximumWaitSeconds)),
                ],
                "tables": .array(reply.tables.map(Self.document)),
                "readable": readable.map(Self.names),
                "unregistered": readable.map { _ in Self.names(reply.unregistered) },
            ])
        response.tell(tables: reply.readable)
        return response
    }

    private static func names(_ names: [String]) -> JSONDocument {
        .array(names.map { .string($0) })
    }

    private static func document(_ table: TableCapability) -> JSONDocument {
        [
            "schema": .string(table.schema), "table": .string(table.table),
            "key_kind": .string(table.keyKind), "read": .bool(table.mayRead),
            "write": .bool(table.mayWrite), "leases_keys": table.leasesKeys ? true : nil,
            "columns": .array(table.columns.map(document)),
        ]
    }

    private static func document(_ column: ColumnCapability) -> JSONDocument {
        [
            "name": .string(column.name), "type": .string(column.type),
            "kind": .string(column.kind),
        ]
    }
}
