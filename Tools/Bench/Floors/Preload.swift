import OperatorKit
import Postgres

/// Changes put into the sidecar's tables directly, as if users had uploaded them long ago: author and post rows of the
/// load's usual size, one device a user.
struct Preload: Sendable {
    /// Numbers of the registered tables in the database's catalog.
    struct Tables: Sendable {
        let users: Int
        let posts: Int

        /// In a database without a catalog any numbers will do.
        static let unregistered = Tables(users: 1, posts: 2)

        /// Those of the load in a stack's database.
        static func read(from url: String) async throws -> Tables {
            try await withConnection(to: url) { connection in
                let statement = Statement(
                    name: "bench_tables",
                    sql: """
                        SELECT max(table_id) FILTER (WHERE table_name = 'users')::int8,
                            max(table_id) FILTER (WHERE table_name = 'posts')::int8
                        FROM sync.catalog WHERE schema_name = 'business'
                        """)
                return try await connection.rows(statement) { columns throws(PostgresError) in
                    Tables(
                        users: Int(try columns.next(Int64.self)),
                        posts: Int(try columns.next(Int64.self)))
                }.one()
            }
        }
    }

    /// Users are named by it and a number from 0.
    let prefix: String
    let users: Int
    let changesPerUser: Int
    /// How often a post says its content: for rows that are large.
    var contentTimes = 1

    func user(_ index: Int) -> String { "\(prefix)-\(index % users)" }

    /// - Returns: the first user's scope; the others' follow it.
    @discardableResult
    func load(into url: String, _ tables: Tables) async throws -> Int {
        try await withConnection(to: url) { connection in
            try await connection.execute(script: rows(tables))
            for statement in ["VACUUM ANALYZE", "CHECKPOINT"] {
                try await connection.execute(script: statement)
            }
            let statement = Statement(
                name: "bench_first_scope",
                sql: "SELECT min(scope_id) FROM sync.scope WHERE \(isOurs)")
            return Int(try await connection.rows(statement, of: Int64.self).one())
        }
    }

    private var isOurs: String { "user_id LIKE '\(prefix)-%'" }

    private func rows(_ tables: Tables) -> String {
        """
        INSERT INTO sync.scope (user_id, last_seq)
        SELECT '\(prefix)-' || n, \(changesPerUser) FROM generate_series(0, \(users - 1)) AS n ORDER BY n;
        INSERT INTO sync.source (scope_id, source_no, device, max_change_id)
        SELECT scope_id, 1, 'preload', \(changesPerUser) FROM sync.scope WHERE \(isOurs);
        INSERT INTO sync.change_log (scope_id, seq, table_id, op, key, version, payload, source_no,
            source_change_id, content_hash)
        SELECT scope_id, n, CASE WHEN n % 10 = 1 THEN \(tables.users) ELSE \(tables.posts) END, 'I',
            decode(md5(scope_id || '-' || n), 'hex'), 1, CASE WHEN n % 10 = 1 THEN
                '{"id":"' || md5(scope_id || '-' || n)::uuid || '","name":"\(LoadText.name)","email":"'
                || md5(scope_id || '-' || n)::uuid || '@example.org"}'
            ELSE '{"id":"' || md5(scope_id || '-' || n)::uuid || '","author_id":"'
                || md5(scope_id || '-' || n - (n + 9) % 10)::uuid
                || '","title":"\(LoadText.title)","content":"'
                || repeat('\(LoadText.content)', \(contentTimes)) || '"}' END::json,
            1, n, n
        FROM sync.scope, generate_series(1, \(changesPerUser)) AS n WHERE \(isOurs)
        ORDER BY scope_id, n;
        INSERT INTO sync.row_state (scope_id, table_id, key, version, seq, deleted)
        SELECT l.scope_id, l.table_id, l.key, 1, l.seq, false
        FROM sync.change_log l JOIN sync.scope s USING (scope_id) WHERE s.\(isOurs);
        """
    }
}
