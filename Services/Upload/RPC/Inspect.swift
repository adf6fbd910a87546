import DatabaseKit
import Foundation
import Model
import NIOCore
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar
import WireJSON

/// The `Inspect` call: what administrators look at, as the JSON that they get.
struct Inspect: Sendable {
    /// Most changes of a row in one answer.
    static let maximumChanges: Int64 = 200
    /// Most rows of the audit in one answer.
    static let maximumAuditRows = 1000

    let pool: PostgresPool
    let source: CatalogSource
    let administrators: Administrators
    let gauges: SidecarGauges
    let conflicts: ConflictMemory

    func callAsFunction(
        _ request: InspectRequest, _ context: CallContext
    ) async throws -> RPCReply<InspectReply> {
        _ = try administrators.admit(context)
        let document: JSONDocument
        do {
            document = try await answer(request, context)
        } catch let error as PostgresError {
            throw DatabaseFailures.upload.failure(of: error)
        }
        return RPCReply(InspectReply(), body: ByteBuffer(string: document.text + "\n"))
    }

    private func answer(
        _ request: InspectRequest, _ context: CallContext
    ) async throws -> JSONDocument {
        switch request.view {
        case .overview: return try await overview(context)
        case .tables: return try await tables(context)
        case .device: return try await device(request, context)
        case .row: return try await row(request, context)
        case .conflicts: return conflicts.document
        case .audit: return try await audit(request, context)
        case .requests: return try await requests(request, context)
        case .unspecified, .UNRECOGNIZED:
            throw RPCFailure(
                .invalidArgument, code: "invalid_request", message: "there is no such view")
        }
    }

    private func overview(_ context: CallContext) async throws -> JSONDocument {
        let tables = try await source.catalog().tables.count
        let (overview, epoch) = try await pool.withConnection(deadline: context.deadline) {
            (
                try await DatabaseOverview.read(on: $0),
                try await $0.run(UploadStatements.ReadEpoch(), deadline: context.deadline).one()
            )
        }
        let reading = gauges.reading()
        let slots = reading?.slots.map { slot -> JSONDocument in
            [
                "slot": .string(slot.name), "active": .bool(slot.isActive),
                "bytes": .integer(Int64(slot.bytes)),
            ]
        }
        let server = reading?.database
        let measured: [(name: String, value: JSONDocument?)] = [
            ("database_bytes", server.map { .integer(Int64($0.bytes)) }),
            ("connections", server.map { .integer(Int64($0.connections)) }),
            ("max_connections", server.map { .integer(Int64($0.maximumConnections)) }),
            ("slots", slots.map { .array($0) }),
        ]
        return .object(
            overview.members(epoch: epoch, registeredTables: tables) + measured
                + (reading?.health.members ?? []))
    }

    private func tables(_ context: CallContext) async throws -> JSONDocument {
        let tables = try await pool.withConnection(deadline: context.deadline) {
            try await TableOverview.read(on: $0)
        }
        return ["tables": .array(tables.map(\.document))]
    }

    private func device(
        _ request: InspectRequest, _ context: CallContext
    ) async throws -> JSONDocument {
        let place = DevicePlace(user: UserID(request.user), device: DeviceID(request.device))
        let diagnosis = try await pool.withConnection(deadline: context.deadline) {
            try await Devices.explain(place, on: $0, deadline: context.deadline)
        }
        guard let diagnosis else {
            throw RPCFailure(
                .notFound, code: "unknown_device",
                message: "The server has never heard of this device of this user: look at the "
                    + "names, its token and its gateway's address")
        }
        return diagnosis.document(of: place)
    }

    /// The changes hold rows of the user, so the audit tells who read them.
    private func row(
        _ request: InspectRequest, _ context: CallContext
    ) async throws -> JSONDocument {
        let name = TableName(schema: request.schema, table: request.table)
        let table = try await source.catalog().all.first { $0.name == name }
        guard let table, let key = RowKey(request.key, kind: table.keyKind) else {
            throw RPCFailure(
                .notFound, code: "not_found",
                message: table == nil
                    ? "\(name) is not registered and never was" : "The key is not one of \(name)")
        }
        let entry = AuditEntry(
            .readRow, of: "\(request.user)/\(name)/\(request.key)", by: try context.origin())
        let statement = RowHistory.Read(
            user: UserID(request.user), table: table.id, key: key,
            limit: Self.maximumChanges + 1)
        let found = try await pool.withConnection(deadline: context.deadline) {
            try await $0.run(AuditStatements.Append(entry), deadline: context.deadline)
            return try await $0.run(statement, deadline: context.deadline).all()
        }
        let changes = Self.fitting(found)
        return [
            "user_id": .string(request.user), "schema": .string(name.schema),
            "table": .string(name.table), "pk": .string(request.key),
            "has_more": .bool(found.count > changes.count),
            "changes": .array(changes.map(\.document)),
        ]
    }

    /// As many as one answer can carry.
    private static func fitting(_ changes: [RowHistory.Change]) -> [RowHistory.Change] {
        var bytes = 0
        return changes.prefix(Int(maximumChanges)).enumerated().prefix { index, change in
            bytes += change.payload?.utf8.count ?? 0
            return index == 0 || bytes <= WireLimits.payloadBytesPerAnswer
        }.map(\.element)
    }

    /// The gateway has the requests, and no database to record in who looks at them.
    private func requests(
        _ request: InspectRequest, _ context: CallContext
    ) async throws -> JSONDocument {
        let entry = AuditEntry(.listRequests, of: request.key, by: try context.origin())
        try await pool.withConnection(deadline: context.deadline) {
            _ = try await $0.run(AuditStatements.Append(entry), deadline: context.deadline)
        }
        return .object([])
    }

    private func audit(
        _ request: InspectRequest, _ context: CallContext
    ) async throws -> JSONDocument {
        let limit = min(max(1, Int(request.limit)), Self.maximumAuditRows)
        let rows = try await pool.withConnection(deadline: context.deadline) {
            try await $0.run(
                AuditStatements.ReadForAdministrators(
                    action: request.action, before: request.before, limit: Int32(limit + 1)),
                deadline: context.deadline
            ).all()
        }
        return [
            // The newest first.
            "rows": .array(rows.prefix(limit).map(\.document)),
            "has_more": .bool(rows.count > limit),
        ]
    }
}
