import Model
import Postgres
import Protos
import RPC
import Sidecar

/// The `ReadCapabilities` call: which tables may be uploaded to, and how much at once.
struct ReadCapabilities: Sendable {
    let source: CatalogSource
    let limits: WireLimits

    func callAsFunction() async throws -> RPCReply<ReadCapabilitiesReply> {
        var reply = ReadCapabilitiesReply()
        do {
            reply.tables = try await source.catalog().tables.map { table in
                var capability = TableCapability()
                capability.schema = table.name.schema
                capability.table = table.name.table
                capability.keyKind = table.keyKind.rawValue
                return capability
            }
        } catch let error as PostgresError {
            throw UploadExecutor.failure(error)
        }
        reply.changesPerUpload = UInt32(limits.changesPerUpload)
        reply.bytesPerPayload = UInt32(limits.bytesPerPayload)
        return RPCReply(reply)
    }
}
