import OperatorKit
import Postgres

/// Whose devices take part.
struct SoakUser: Hashable, Sendable {
    let name: String
    let sharedKeys: [String]

    init(number: Int) {
        name = "user-\(number)"
        sharedKeys = SoakTables.sharedKeys(ofUser: number)
    }

    /// A back end writes the rows that all devices edit, by plain SQL.
    ///
    /// - Parameter text: what they become; they need not exist.
    func writeShared(_ text: String, on connection: PostgresConnection) async throws {
        var bindings = Bindings()
        bindings.bind(name)
        bindings.bind(text)
        bindings.bind(sharedKeys.joined(separator: ","))
        _ = try await connection.run(Command(Self.write, bindings))
    }

    /// What PostgreSQL has: each row's text by table and key.
    func served(on connection: PostgresConnection) async throws -> [String: String] {
        var bindings = Bindings()
        bindings.bind(name)
        var rows = try await connection.rows(Command(Self.rows, bindings)) {
            columns throws(PostgresError) in
            (try columns.next(String.self), try columns.next(String.self))
        }
        var served: [String: String] = [:]
        while let (row, text) = try rows.next() { served[row] = text }
        return served
    }

    private static let write = Statement(
        name: "soak_write",
        sql: """
            INSERT INTO business.users (id, owner_id, name)
            SELECT key::uuid, $1, $2 FROM unnest(string_to_array($3, ',')) AS key
            ON CONFLICT (id) DO UPDATE SET name = excluded.name
            """, parameters: [.text, .text, .text])

    private static let rows = Statement(
        name: "soak_rows",
        sql: """
            SELECT 'users ' || id, name FROM business.users WHERE owner_id = $1
            UNION ALL
            SELECT 'posts ' || id, author_id || ' ' || title FROM business.posts
            WHERE owner_id = $1
            """, parameters: [.text])
}
