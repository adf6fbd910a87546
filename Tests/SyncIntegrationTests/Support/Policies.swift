import Postgres
@testable import Sidecar
@testable import UploadService

/// Tables whose row-level security policies decide about uploads.
enum Policies {
    static let tables = """
        CREATE FUNCTION s.claim(name text) RETURNS text LANGUAGE sql STABLE AS $$
            SELECT nullif(current_setting('request.jwt.claims', true), '')::json ->> name $$;
        CREATE FUNCTION s.has_role(name text) RETURNS boolean LANGUAGE sql STABLE AS $$
            SELECT nullif(current_setting('request.jwt.claims', true), '')::jsonb -> 'roles'
                ? name $$;
        CREATE TABLE s.tasks (id uuid PRIMARY KEY, owner text, title text,
            state text DEFAULT 'open', hours numeric(10,2));
        CREATE TABLE s.steps (id uuid PRIMARY KEY, owner text, task uuid REFERENCES s.tasks, n int);
        CREATE TABLE s.words (code text PRIMARY KEY, label text);
        CREATE TABLE s.choices (owner text, code text, value text, PRIMARY KEY (owner, code));
        ALTER TABLE s.tasks ENABLE ROW LEVEL SECURITY;
        ALTER TABLE s.words ENABLE ROW LEVEL SECURITY;
        ALTER TABLE s.choices ENABLE ROW LEVEL SECURITY;
        """
    static let yaml = """
          - {table: s.tasks, owner: owner, row_security: true}
          - {table: s.steps, owner: owner}
          - {table: s.words, row_security: true}
          - {table: s.choices, key: code, owner: owner, row_security: true}
        """

    /// Users write what is theirs.
    static let ofOwner = """
        CREATE POLICY own ON s.tasks USING (owner = s.claim('sub'));
        CREATE POLICY own ON s.choices USING (owner = s.claim('sub'));
        CREATE POLICY all_words ON s.words USING (s.claim('sub') IS NOT NULL);
        """

    static let rejected = "materialize_error 42501"
    static let hidden = "materialize_error OV004"

    /// - Parameter policies: made before the tables are registered.
    static func with(
        _ policies: String, _ body: (SyncedDatabase) async throws -> Void
    ) async throws {
        try await SyncedDatabase.with(tables: tables + policies, registered: yaml, body)
    }

    static func task(_ n: Int, _ op: String, _ key: String, base: Int = 0, _ payload: String? = nil)
        -> String
    {
        change(n, op, "tasks", id(key), base: base, payload)
    }
}

extension UploadSchema {
    /// The same tables, as if policies hid rows of them.
    var hiding: UploadSchema {
        let tables = catalog.tables.map { table in
            var table = table
            table.policies = TablePolicies(isWanted: false, isActive: true)
            return table
        }
        return UploadSchema(catalog: Catalog(tables: tables))
    }
}

extension ChangeVerdict {
    /// What the app hears of a row that the table has refused.
    var told: String? {
        switch self {
        case .materializeError(_, let message): message
        default: nil
        }
    }
}
