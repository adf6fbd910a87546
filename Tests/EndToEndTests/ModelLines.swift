import Foundation
import ServerModel
import Testing

extension ModelServer.Answer {
    /// Without the row that a conflict shows: the feed has it.
    var shortLine: String {
        guard case .conflict = self else { return line }
        return line.split(separator: " ").prefix(4).joined(separator: " ")
    }
}

extension ModelServer.Entry {
    var feedLine: String {
        let payload = json.flatMap {
            (try? JSONSerialization.jsonObject(with: Data($0.utf8))) as? [String: Any]
        }
        return WireDevice.line(
            device.name, kind.name, place.table.name, place.keyText, version, payload)
    }
}

extension WireDevice.Answer {
    /// The statuses as the model writes its answers.
    func lines() throws -> [String] {
        let body = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any]
        let statuses = try #require(body?["statuses"] as? [[String: Any]])
        return statuses.map { status in
            let name = status["status"] as? String ?? "?"
            let version = (status["new_server_version"] as? Int).map { " \($0)" } ?? ""
            switch name {
            case "conflict":
                let row = status["server_row"] as? [String: Any] ?? [:]
                let device = row["source_id"] as? String ?? "?"
                let writer =
                    device.isEmpty ? "server" : "\(device)/\(row["source_change_id"] as? Int ?? 0)"
                return "conflict \(row["server_version"] as? Int ?? 0) by \(writer)"
            case "invalid":
                let invalid = status["invalid"] as? [String: Any]
                let details = invalid?["details"] as? [String: Any]
                let missing = (details?["missing"] as? [String]).map { " " + $0.joined() } ?? ""
                return "invalid \(invalid?["reason"] as? String ?? "?")\(missing)"
            case "materialize_error":
                let state = (status["message"] as? String)?.firstMatch(of: /SQLSTATE (\w+)/)
                return "materialize_error \(state.map { String($0.1) } ?? "?")"
            default: return name + version
            }
        }
    }
}

/// One change of a feed.
struct FeedChange: Sendable {
    let sequence: Int
    let row: String
    let version: Int
    let line: String
}

extension WireDevice {
    /// Everything from the beginning, page by page.
    func feed() async throws -> [FeedChange] {
        var changes: [FeedChange] = []
        while true {
            let answer = try await download(
                "after=\(changes.count)&limit=1000&include_self=true")
            let body =
                try JSONSerialization.jsonObject(with: Data(answer.text.utf8)) as? [String: Any]
            let page = try #require(body?["changes"] as? [[String: Any]])
            if page.isEmpty { return changes }
            changes += page.map(Self.change)
        }
    }

    private static func change(_ change: [String: Any]) -> FeedChange {
        let table = change["table"] as? String ?? "?"
        let key = change["pk"] as? String ?? "?"
        let version = change["server_version"] as? Int ?? 0
        return FeedChange(
            sequence: change["server_id"] as? Int ?? 0, row: table + key, version: version,
            line: line(
                change["source_id"] as? String ?? "?", change["op"] as? String ?? "?", table, key,
                version, change["payload"] as? [String: Any]))
    }

    static func line(
        _ device: String, _ operation: String, _ table: String, _ key: String, _ version: Int,
        _ payload: [String: Any]?
    ) -> String {
        let fields = payload?.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
        return "\(device.isEmpty ? "server" : device) \(operation) \(table) \(key) \(version) "
            + (fields?.joined(separator: " ") ?? "deleted")
    }
}
