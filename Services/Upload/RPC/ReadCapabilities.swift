import DatabaseKit
import Model
import Postgres
import Protos
import RPC
import ServiceKit
import Sidecar

/// The `ReadCapabilities` call: which tables may be read and uploaded to, what their columns hold,
/// and how much may be sent at once.
struct ReadCapabilities: Sendable {
    let source: CatalogSource
    let limits: WireLimits

    func callAsFunction(_ context: CallContext) async throws -> RPCReply<ReadCapabilitiesReply> {
        let roles = Set(try context.requiredCaller().roles)
        var reply = ReadCapabilitiesReply()
        do {
            let tables = try await source.catalog().tables
            reply.tables = tables.filter { $0.access.mayRead(roles) }.map { table in
                var capability = TableCapability()
                capability.schema = table.name.schema
                capability.table = table.name.table
                capability.keyKind = table.keyKind.rawValue
                capability.mayRead = true
                capability.mayWrite = table.access.mayWrite(roles)
                capability.columns = table.shownColumns.map(ColumnCapability.init)
                return capability
            }
        } catch let error as PostgresError {
            throw DatabaseFailures.upload.failure(of: error)
        }
        reply.changesPerUpload = UInt32(limits.changesPerUpload)
        reply.bytesPerPayload = UInt32(limits.bytesPerPayload)
        return RPCReply(reply)
    }
}

extension ColumnCapability {
    fileprivate init(_ column: Column) {
        self.init()
        name = column.name.lowercased()
        type = column.shownType
        kind = ColumnKind(column).wireName
    }
}
