import OperatorKit

/// The numbers in what pgbench prints at its end.
struct PgBenchOutput: Hashable, Sendable {
    let transactions: Int
    /// Without the time it took to connect.
    let transactionsPerSecond: Double
    let averageMilliseconds: Double

    /// - Throws: `StackError` when a number is missing or transactions failed.
    init(_ text: String) throws {
        var found: [String: Double] = [:]
        for line in text.split(separator: "\n") {
            for (name, prefix) in Self.prefixes where line.hasPrefix(prefix) {
                let rest = line.dropFirst(prefix.count).drop { $0 == " " || $0 == "=" || $0 == ":" }
                found[name] = Double(rest.prefix { $0.isNumber || $0 == "." })
            }
        }
        guard let transactions = found["transactions"], let rate = found["rate"],
            let latency = found["latency"], transactions > 0, rate > 0
        else { throw StackError("pgbench did no transaction: \(text.suffix(500))") }
        guard found["failed"] ?? 0 == 0 else {
            throw StackError("transactions of pgbench failed: \(text.suffix(500))")
        }
        self.transactions = Int(transactions)
        transactionsPerSecond = rate
        averageMilliseconds = latency
    }

    private static let prefixes = [
        ("transactions", "number of transactions actually processed"),
        ("failed", "number of failed transactions"), ("latency", "latency average"),
        ("rate", "tps"),
    ]
}
