import DatabaseKit
import Postgres
import Protos
import RPC
import SigningKeys

/// The `ListKeys` call: what `oversync keys list` prints. It opens no key.
struct ListKeys: Sendable {
    private static let failures = DatabaseFailures(
        faultCode: "internal", faultMessage: "The keys could not be read",
        later: .init("The keys cannot be read now"))

    let pool: PostgresPool
    let administrators: Administrators

    func callAsFunction(_ context: CallContext) async throws -> RPCReply<ListKeysReply> {
        _ = try administrators.admit(context)
        do {
            var reply = ListKeysReply()
            reply.keys = try await pool.withConnection(deadline: context.deadline) {
                try await KeyStore.list(on: $0)
            }.map { row, state in
                var key = KeyRecord()
                (key.kid, key.state, key.signsFrom) = (row.kid, state.rawValue, row.activeFrom)
                key.retires = row.retiresAt ?? ""
                return key
            }
            return RPCReply(reply)
        } catch let error as PostgresError {
            throw Self.failures.failure(of: error)
        }
    }
}
