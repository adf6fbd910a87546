import Model
import Postgres
import RPC
import ServiceKit
import Sidecar

extension UploadTransaction {
    /// The device's number; registers a new device.
    ///
    /// - Throws: `RPCFailure.tooManyDevices` where the user's quota has no room for a new one;
    ///   `PostgresError`.
    func source(
        _ answer: UploadReadingStatements.Answer, in scope: NamedScope
    ) async throws -> Int32 {
        if let source = answer.source { return source }
        let statement = UploadStatements.CreateSource(
            scope: scope, device: device, quota: quotas.devices)
        guard let source = try await connection.run(statement, deadline: deadline).first() else {
            if quotas.devices == nil { throw scopeGone }
            throw RPCFailure.tooManyDevices
        }
        return source
    }
}
