import Foundation
import NIOCore
import Protos
import RPC

extension SyncedDatabase {
    /// What a device gets that asks for no changes of its own.
    func own(
        _ user: String, device: String, after: Int = 0, epoch: String? = nil
    ) async throws -> [Change] {
        let reply = try await pull(user, device: device) { request in
            (request.after, request.fresh) = (Int64(after), true)
            if let epoch { request.epoch = epoch }
        }
        let body =
            try JSONSerialization.jsonObject(with: Data(reply.body.readableBytesView))
            as? [String: Any]
        return (body?["changes"] as? [[String: Any]] ?? []).map { change in
            Change(
                sequence: change["server_id"] as? Int ?? 0, table: change["table"] as? String ?? "",
                operation: change["op"] as? String ?? "", key: change["pk"] as? String ?? "",
                version: change["server_version"] as? Int ?? 0,
                source: change["source_id"] as? String ?? "?",
                payload: (change["payload"] as? [String: Any])?.mapValues { "\($0)" })
        }
    }
}
