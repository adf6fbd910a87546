import Model
import Postgres
import Sidecar

/// What the database says in the end, read by plain SQL.
struct ServerSide {
    /// Rows fetched at once.
    private static let batchRows = 2000
    private static let lastSequence = Statement(
        name: "gap_last_sequence",
        sql: "SELECT coalesce(max(last_seq), 0) FROM sync.scope WHERE user_id = $1",
        parameters: [.text])
    private static let receipts = Statement(
        name: "gap_receipts",
        sql: "SELECT coalesce(sum(written), 0)::bigint FROM gap.receipts WHERE owner_id = $1",
        parameters: [.text])

    let connection: PostgresConnection

    func lastSequence(of user: GapUser) async throws -> Int64 {
        try await number(Self.lastSequence, user)
    }

    /// Rows that the back end has written.
    func written(for user: GapUser) async throws -> Int64 {
        try await number(Self.receipts, user)
    }

    /// What the business tables hold of a user.
    func state(of user: GapUser) async throws -> [GapRow: RowContent] {
        var state: [GapRow: RowContent] = [:]
        for (table, item) in [(GapTable.items, "''"), (.parts, "item_id::text")] {
            let own = "owner_id = '\(user.name)'"
            try await connection.execute(
                script: """
                    BEGIN; DECLARE held NO SCROLL CURSOR FOR
                    SELECT id::text, n::text, label, \(item) FROM gap.\(table.name) WHERE \(own)
                    """)
            while try await fetch(table, into: &state) {}
            try await connection.execute(script: "COMMIT")
        }
        return state
    }

    /// - Returns: how many differences `oversync verify` finds, and the first few.
    func verify() async throws -> (summary: Verifier.Summary, first: [String]) {
        var first: [String] = []
        let summary = try await Verifier(connection: connection).run { differences in
            for difference in differences where first.count < FeedCheck.maximumFaults {
                first.append("verify: \(difference)")
            }
        }
        return (summary, first)
    }

    private func fetch(
        _ table: GapTable, into state: inout [GapRow: RowContent]
    ) async throws -> Bool {
        // Two names: a prepared FETCH keeps the types of the cursor that it was made for.
        let statement = Statement(
            name: "gap_fetch_\(table.name)", sql: "FETCH \(Self.batchRows) FROM held")
        var rows = try await connection.rows(statement) { columns throws(PostgresError) in
            (
                key: try columns.next(String.self),
                content: RowContent(
                    n: try columns.next(String.self).utf8,
                    label: try columns.next(String.self).utf8,
                    item: try columns.next(String.self).utf8)
            )
        }
        while let (key, content) = try rows.next() {
            if let row = GapRow(table, key: key) { state[row] = content }
        }
        return !rows.isEmpty
    }

    private func number(_ statement: Statement, _ user: GapUser) async throws -> Int64 {
        var bindings = Bindings()
        bindings.bind(user.name)
        return try await connection.rows(Command(statement, bindings), of: Int64.self).one()
    }
}
