import DeviceScript
import Foundation
import OverSQLite
import OverSQLiteTestSupport
import SeededRandom
import Synchronization

/// One gateway for each session, told apart by the first part of the path, and in each another device that writes
/// between the requests of the one that is killed.
final class ChaosGateway: HTTPTransport {
    struct Session {
        let gateway = InMemoryGateway(
            tables: [.init("users"), .init("posts", references: ["user_id": "users"])],
            clock: SystemClock())
        var random: SeededGenerator
        /// What the other device has written, by key.
        var ages: [String: Int] = [:]
        var writes = 0
    }

    private let sessions = Mutex<[String: Session]>([:])

    /// Begins a session, or shows how it stands.
    func session(_ name: String, seed: UInt64 = 0) -> Session {
        sessions.withLock { sessions in
            let session = sessions[name] ?? Session(random: SeededGenerator(seed: seed))
            sessions[name] = session
            return session
        }
    }

    func send(_ request: TransportRequest) async throws -> TransportResponse {
        let name = request.url.pathComponents.dropFirst().first ?? ""
        let gateway = sessions.withLock { sessions -> InMemoryGateway? in
            sessions[name]?.disturb()
            return sessions[name]?.gateway
        }
        guard let gateway else { return TransportResponse(status: 404) }
        return try await gateway.send(request)
    }
}

extension ChaosGateway.Session {
    /// Now and then the other device gives a shared user an age, on what stands.
    fileprivate mutating func disturb() {
        let number = Int.random(in: DeviceScript.sharedUsers, using: &random)
        guard Int.random(in: 0..<3, using: &random) == 0,
            let payload = gateway.rows("users")[DeviceScript.key(number)],
            var row = try? JSONSerialization.jsonObject(with: Data(payload.utf8)) as? [String: Any]
        else { return }
        writes += 1
        row["age"] = writes
        ages[DeviceScript.key(number)] = writes
        let options: JSONSerialization.WritingOptions = .sortedKeys
        if let data = try? JSONSerialization.data(withJSONObject: row, options: options) {
            gateway.write("users", DeviceScript.key(number), String(decoding: data, as: UTF8.self))
        }
    }
}
