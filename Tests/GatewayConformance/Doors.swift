import Foundation
import OverSQLite

/// Who and what is let in.
enum Doors {
    static let behaviours = [
        Behaviour("Without a good token nobody is let in") { talk in
            var nobody = try await talk.device("phone")
            let faults: [(String?, String)] = [
                (nil, "Authorization header required"),
                ("Bearer", "Invalid authorization header format"),
                ("Basic abc", "Invalid authorization header format"), ("Bearer x", "Invalid token"),
                ("Bearer a.b.c", "Invalid token"),
            ]
            for (authorization, message) in faults {
                nobody.authorization = authorization
                for path in ["sync/download?after=0", "sync/bootstrap", "sync/capabilities"] {
                    try await nobody.get(
                        path,
                        gives: .error(
                            401, "authentication_failed", message,
                            headers: ["www-authenticate": "Bearer"]))
                }
            }
        },
        Behaviour("Other paths and methods are refused as JSON") { talk in
            let phone = try await talk.device("phone")
            let nothing = Expected.error(404, "not_found", "There is nothing at this path")
            for path in ["nowhere", "sync/uploads", "sync/"] {
                try await phone.get(path, gives: nothing)
            }
            try await phone.get(
                "sync/upload",
                gives: .error(
                    405, "method_not_allowed", "Only POST method is allowed",
                    headers: ["allow": "POST"]))
            try await phone.send(
                "POST", "sync/download", body: [],
                gives: .error(
                    405, "method_not_allowed", "Only GET method is allowed",
                    headers: ["allow": "GET"]))
        },
        Behaviour("What a device may send is told beforehand") { talk in
            let phone = try await talk.device("phone")
            try await phone.get(
                "sync/schema-version", gives: Expected(json: #"{"schema_version":1}"#))
            let response = try await phone.response("GET", "sync/capabilities")
            let told = try JSONDecoder().decode(Capabilities.self, from: Data(response.body))
            let limits = [
                "changes_per_upload": 1000, "bytes_per_payload": 1 << 20,
                "bytes_per_body": 16 << 20,
                "rows_per_page": 1000, "wait_seconds": 55,
            ]
            let keys = ["users": "uuid", "posts": "uuid", "currencies": "text"]
            let tables = keys.map {
                Capabilities.Table(schema: "business", table: $0, key_kind: $1)
            }
            if told.limits != limits { talk.note("limits: \(told.limits)") }
            if Set(told.tables) != Set(tables) { talk.note("tables: \(told.tables)") }
            if told.api_versions != [1] { talk.note("versions: \(told.api_versions)") }
            for feature in ["atomic", "bootstrap", "digest", "epoch", "history", "keys", "wait"]
            where !told.features.contains(feature) {
                talk.note("no \(feature): \(told.features)")
            }
        },
    ]

    private struct Capabilities: Decodable {
        struct Table: Decodable, Hashable {
            let schema: String
            let table: String
            let key_kind: String
            var read = true
            var write = true

            enum CodingKeys: CodingKey { case schema, table, key_kind, read, write }
        }

        let api_versions: [Int]
        let features: [String]
        let limits: [String: Int]
        let tables: [Table]
    }
}
