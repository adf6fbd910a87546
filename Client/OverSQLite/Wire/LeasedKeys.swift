import Foundation
import WireJSON

/// The server's answer to `/sync/keys`: numbers for new rows that nobody else gets.
struct LeasedKeys: Hashable, Sendable, Decodable {
    struct Table: Hashable, Sendable, Decodable {
        let schema: String
        let table: String
        let ranges: [LeasedRange]
    }

    /// The history that the numbers belong to.
    let epoch: String
    let tables: [Table]

    init(body: [UInt8]) throws(JSONError) {
        guard let answer = try? JSONDecoder().decode(Self.self, from: Data(body)),
            answer.tables.allSatisfy({ $0.ranges.allSatisfy(\.isGood) })
        else { throw JSONError("the body does not answer /sync/keys", at: 0) }
        self = answer
    }
}

extension GatewayClient {
    /// Leases numbers for new rows.
    ///
    /// - Parameter counts: how many, by the table's name.
    func leaseKeys(_ counts: [String: Int64]) async throws -> LeasedKeys {
        let schema = schema.isEmpty ? "public" : schema
        var body: [UInt8] = []
        body.append(
            [
                "tables": .array(
                    counts.sorted { $0.key < $1.key }.map { table, count in
                        [
                            "schema": .string(schema), "table": .string(table),
                            "count": .integer(count),
                        ]
                    })
            ] as JSONDocument)
        let url = base.appending(path: "sync/keys")
        let response = try await send(
            TransportRequest(
                method: "POST", url: url, headers: ["Content-Type": "application/json"],
                body: body))
        return try Self.read(response, from: url) { body throws(JSONError) in
            try LeasedKeys(body: body)
        }
    }
}
