import OperatorKit
import Postgres
import SeededRandom

/// A back end that writes plain SQL to the business tables of both users, in bulk.
///
/// It touches the devices' rows too, so that they meet conflicts. Each statement notes for itself how many rows
/// it has written: when the connection dies at COMMIT, only the database knows.
struct BackEnd: Sendable {
    /// Of a hundred changes, how many are the back end's.
    static let share: Int64 = 10
    /// Rows of one statement.
    private static let inserts = 1...60
    private static let updates = 1...20
    private static let deletes = 1...15
    /// Rows of a device that it may still write to.
    private static let lately: UInt32 = 300
    /// Stands where a device's number stands in the keys of the back end's own rows.
    private static let writer: UInt16 = 0xB0B0
    /// Between two looks at whether it is the back end's turn.
    private static let pause: Duration = .milliseconds(10)

    let database: String
    let users: [GapUser]
    /// Devices of each user.
    let writers: Int
    let progress: GapProgress
    var random: SeededGenerator

    /// - Parameter isEnough: asked before each transaction.
    mutating func run(until isEnough: () -> Bool) async throws {
        var written: Int64 = 0
        while !isEnough() {
            do {
                try await withConnection(to: database) { connection in
                    while !isEnough() {
                        if written * 100 > progress.changes * Self.share {
                            try await Task.sleep(for: Self.pause)
                        } else {
                            written += try await write(on: connection)
                        }
                    }
                }
            } catch let error as PostgresError where error.isCut {
                // The receipts say what came of the last transaction.
                try await Task.sleep(for: Self.pause)
            }
        }
    }

    /// One transaction of some statements.
    ///
    /// - Returns: how many rows each user has of it at least.
    private mutating func write(on connection: PostgresConnection) async throws -> Int64 {
        var script = ""
        var rows = 0
        for _ in 0..<Int.random(in: 1...3, using: &random) {
            let (statement, least) = nextStatement()
            script += statement + ";\n"
            rows += least
        }
        try await connection.execute(script: script)
        progress.add(rows)
        return Int64(rows)
    }

    private mutating func nextStatement() -> (sql: String, least: Int) {
        switch Int.random(in: 0..<10, using: &random) {
        case 0..<5:
            let count = Int.random(in: Self.inserts, using: &random)
            return (receipted(insert(count)), count)
        case 5..<8:
            let count = Int.random(in: Self.updates, using: &random)
            let writer =
                Bool.random(using: &random)
                ? Self.writer : UInt16.random(in: 0..<UInt16(writers), using: &random)
            let sql = """
                UPDATE gap.items SET n = n + 1, label = 'written by the back end'
                WHERE id IN (\(picked(writer, count))) RETURNING owner_id
                """
            return (receipted(sql), 0)
        default:
            let count = Int.random(in: Self.deletes, using: &random)
            let sql = """
                DELETE FROM gap.items WHERE id IN (\(picked(Self.writer, count))) RETURNING owner_id
                """
            return (receipted(sql), 0)
        }
    }

    private func receipted(_ sql: String) -> String {
        """
        WITH written AS (\(sql))
        INSERT INTO gap.receipts (owner_id, written) SELECT owner_id, count(*) FROM written GROUP BY owner_id
        """
    }

    /// Some new items for each user.
    private mutating func insert(_ count: Int) -> String {
        let rows = users.flatMap { user in
            (0..<count).map { _ in
                let row = GapRow(
                    .items, owner: user.tag, writer: Self.writer,
                    number: UInt32.random(in: 0...UInt32.max, using: &random), low: random.next())
                return "('\(row.key)', '\(user.name)', 0, 'made by the back end')"
            }
        }
        return """
            INSERT INTO gap.items (id, owner_id, n, label) VALUES \(rows.joined(separator: ", "))
            RETURNING owner_id
            """
    }

    /// A query of a writer's items of each user, from a place among the back end's own, or among those that a
    /// device has made lately, on.
    private mutating func picked(_ writer: UInt16, _ count: Int) -> String {
        let made = UInt32(progress.changes) / UInt32(writers) / 2
        let number =
            writer == Self.writer
            ? UInt32.random(in: 0...UInt32.max, using: &random)
            : UInt32.random(in: made - min(made, Self.lately)...made, using: &random)
        return users.map { user in
            let first = GapRow(.items, owner: user.tag, writer: writer, number: number, low: 0)
            let last = GapRow(
                .items, owner: user.tag, writer: writer, number: .max, low: .max)
            return """
                (SELECT id FROM gap.items WHERE id BETWEEN '\(first.key)' AND '\(last.key)'
                ORDER BY id LIMIT \(count))
                """
        }.joined(separator: " UNION ALL ")
    }
}

extension PostgresError {
    /// Somebody has ended the connection. Anything else must not happen to a back end: where it and an upload
    /// wait for each other, the upload steps back.
    fileprivate var isCut: Bool {
        switch kind {
        case .connectionLost, .connectFailed: true
        case .server(let error): error.sqlState == .adminShutdown
        default: false
        }
    }
}
