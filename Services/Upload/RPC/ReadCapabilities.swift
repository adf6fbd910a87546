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

    func callAsFunction(
        _ request: ReadCapabilitiesRequest, _ context: CallContext
    ) async throws -> RPCReply<ReadCapabilitiesReply> {
        try await self(
            context, readable: request.readable,
            asked: request.tables.map { TableName(schema: request.schema, table: $0) })
    }

    /// - Parameters:
    ///   - readable: the fingerprint that the device knows; empty if it did not say.
    ///   - asked: tables whose existence the device asks about.
    func callAsFunction(
        _ context: CallContext, readable: String = "", asked: [TableName] = []
    ) async throws -> RPCReply<ReadCapabilitiesReply> {
        let caller = Caller(try context.requiredCaller())
        var reply = ReadCapabilitiesReply()
        do {
            let told = readable.isEmpty ? nil : readable
            let catalog = try await source.catalog(for: caller, told: told, by: context.deadline)
            if told != nil {
                let tables = catalog.readableTables(to: caller)
                (reply.readable, reply.readableTables) = (tables.fingerprint, tables.names)
                reply.unregistered = asked.filter { !catalog.hasEverHad($0) }.map(\.table)
            }
            reply.tables = catalog.tables.filter { $0.isReadable(by: caller) }.map { table in
                var capability = TableCapability()
                capability.schema = table.name.schema
                capability.table = table.name.table
                capability.keyKind = table.keyKind.rawValue
                capability.mayRead = true
                capability.mayWrite = table.isWritable(by: caller)
                capability.leasesKeys = capability.mayWrite && table.keySequence != nil
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
