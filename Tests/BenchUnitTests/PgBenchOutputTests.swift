import OperatorKit
import Testing
@testable import Bench

@Suite struct PgBenchOutputTests {
    private static let output = """
        pgbench (15.18 (Debian 15.18-0+deb12u1))
        transaction type: floor-upload.sql
        scaling factor: 1
        query mode: prepared
        number of clients: 8
        number of threads: 2
        maximum number of tries: 1
        duration: 3 s
        number of transactions actually processed: 1234
        number of failed transactions: 0 (0.000%)
        latency average = 19.402 ms
        initial connection time = 11.245 ms
        tps = 412.327431 (without initial connection time)
        """

    @Test("Transactions, rate and latency are read from what pgbench prints")
    func reads() throws {
        let output = try PgBenchOutput(Self.output)
        #expect(output.transactions == 1234)
        #expect(output.transactionsPerSecond == 412.327431)
        #expect(output.averageMilliseconds == 19.402)
    }

    @Test("Failed transactions, none at all, or a missing number are no measurement")
    func refuses() {
        for (old, new) in [
            ("failed transactions: 0", "failed transactions: 3"),
            ("processed: 1234", "processed: 0"),
            ("tps =", "speed ="),
        ] {
            #expect(throws: StackError.self) {
                try PgBenchOutput(Self.output.replacing(old, with: new))
            }
        }
    }
}
