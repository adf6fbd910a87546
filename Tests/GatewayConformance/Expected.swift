import Foundation
import OverSQLite

/// An answer as it must be. Times, request ids and epochs are compared by their form alone.
struct Expected: Sendable {
    var status = 200
    let json: String
    /// Headers that must be there, by lower-case name.
    var headers: [String: String] = [:]

    /// The answer to an upload.
    static func statuses(_ statuses: String..., accepted: Bool = true, highest: Int) -> Expected {
        Expected(
            json:
                #"{"accepted":\#(accepted),"highest_server_seq":\#(highest),"statuses":[\#(statuses.joined(separator: ","))]}"#
        )
    }

    /// A page of the feed.
    static func page(
        _ changes: String..., more: Bool = false, next: Int, until: Int
    ) -> Expected {
        Expected(
            json:
                #"{"changes":[\#(changes.joined(separator: ","))],"has_more":\#(more),"next_after":\#(next),"window_until":\#(until)}"#
        )
    }

    static func error(
        _ status: Int, _ code: String, _ message: String, headers: [String: String] = [:]
    ) -> Expected {
        Expected(
            status: status,
            json: #"{"error":"\#(code)","message":"\#(message)","request_id":"x"}"#,
            headers: headers)
    }

    static func invalid(_ message: String) -> Expected {
        error(400, "invalid_request", message)
    }

    func differences(from response: TransportResponse) -> [String] {
        let text = String(decoding: response.body, as: UTF8.self)
        if response.status != status {
            return ["status \(response.status), not \(status): \(text.prefix(400))"]
        }
        var differences: [String] = []
        let (found, wanted) = (Self.canonical(text), Self.canonical(json))
        if found != wanted { differences.append("\(found)\n  not \(wanted)") }
        var headers = headers
        headers["oversync-api-version"] = "1"
        headers["content-type"] = "application/json"
        for (name, value) in headers where response.headers[name] != value {
            differences.append("\(name): \(response.headers[name] ?? "absent"), not \(value)")
        }
        if response.headers["x-request-id"]?.isEmpty != false {
            differences.append("no request id")
        }
        return differences
    }

    /// Members that no two servers answer alike, and the form they have.
    private static func hasForm(_ text: String, of name: String) -> Bool {
        switch name {
        case "ts": text.contains(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/)
        case "request_id": !text.isEmpty
        case "epoch": text.contains(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
        default: false
        }
    }

    /// Sorted by member name, with what differs from server to server left out.
    static func canonical(_ text: String) -> String {
        let options: JSONSerialization.ReadingOptions = .fragmentsAllowed
        guard
            let value = try? JSONSerialization.jsonObject(with: Data(text.utf8), options: options),
            let data = try? JSONSerialization.data(
                withJSONObject: plain(value),
                options: [.sortedKeys, .fragmentsAllowed, .withoutEscapingSlashes])
        else { return "no JSON: \(text.prefix(400))" }
        return String(decoding: data, as: UTF8.self)
    }

    private static func plain(_ value: Any) -> Any {
        if let array = value as? [Any] { return array.map(plain) }
        guard let object = value as? [String: Any] else { return value }
        return Dictionary(
            uniqueKeysWithValues: object.map { name, value -> (String, Any) in
                let text = value as? String ?? ""
                let isPlaceholder = text == "x" && ["ts", "request_id", "epoch"].contains(name)
                if isPlaceholder || hasForm(text, of: name) { return (name, "(\(name))") }
                return (name, plain(value))
            })
    }
}
