import Foundation
import WireJSON

/// The server's answer to `/sync/keys`: numbers for new rows that nobody else gets.
struct LeasedKeys: Hashable, Sendable, Decodable {
    /// `first`, `first + step`, and so on.
    struct Range: Hashable, Sendable, Decodable {
        let first: Int64
        let count: Int64
        let step: Int64

        /// The numbers are whole numbers of 64 bits, and no two are the same.
        fileprivate var isGood: Bool {
            guard (1...LeasedKeys.maximumCount).contains(count), step != 0 else { return false }
            let (way, isTooLong) = step.multipliedReportingOverflow(by: count - 1)
            return !isTooLong && !first.addingReportingOverflow(way).overflow
        }
    }

    struct Table: Hashable, Sendable, Decodable {
        let schema: String
        let table: String
        let ranges: [Range]
    }

    /// The most numbers of a range; more than a server gives.
    private static let maximumCount: Int64 = 100_000

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
