import Demo
import Foundation
import OperatorKit
import Postgres
import Testing

@Suite("A table that others lock while `oversync migrate` wants it", .timeLimit(.minutes(5)))
struct TableLockedWhileMigrating {
    @Test("The command says which table and who, leaves all as it was, and succeeds later")
    func migrate() async throws {
        try await withStack { stack in
            let folder = URL(filePath: stack.authority).deletingLastPathComponent()
            let config = folder.appending(path: "more.yaml")
            try Data(
                (DemoTables.registrations + "  - {table: business.extra, owner: owner_id}\n").utf8
            ).write(to: config)
            try await withConnection(to: stack.database) { writer in
                try await writer.execute(
                    script: "CREATE TABLE business.extra (id uuid PRIMARY KEY, owner_id text)")
                try await writer.execute(
                    script: "BEGIN; INSERT INTO business.extra VALUES (gen_random_uuid(), 'ann')")
                let before = try await Self.registered(writer)
                let (status, text) = try await Self.migrate(stack, config)
                #expect(status != 0)
                #expect(text.contains("business.extra is in use: it stayed locked for too long"))
                #expect(text.contains("55P03"))
                #expect(text.contains("idle in transaction"))
                #expect(text.contains("then run oversync migrate again"))
                #expect(text.split(separator: "\n").count == 1, "\(text)")
                #expect(try await Self.registered(writer) == before)

                try await writer.execute(script: "ROLLBACK")
                let again = try await Self.migrate(stack, config)
                #expect(again.status == 0, "\(again.text)")
                #expect(try await Self.registered(writer) == before + " business.extra")
            }
        }
    }

    @Test("A database of the next version is left as it is, and that is no failure")
    func nextLayout() async throws {
        try await withStack { stack in
            let folder = URL(filePath: stack.authority).deletingLastPathComponent()
            let config = folder.appending(path: "none.yaml")
            try Data("tables: []\n".utf8).write(to: config)
            try await withConnection(to: stack.database) { connection in
                try await connection.execute(
                    script: "UPDATE sync.meta SET layout_version = layout_version + 1")
                let before = try await Self.registered(connection)
                let (status, text) = try await Self.migrate(stack, config)
                #expect(status == 0, "\(text)")
                #expect(text.contains("one ahead of this program"))
                #expect(try await Self.registered(connection) == before)
            }
        }
    }

    private static func registered(_ connection: PostgresConnection) async throws -> String {
        try await connection.run(
            Command(
                Statement(
                    name: "registered",
                    sql: """
                        SELECT string_agg(schema_name || '.' || table_name, ' ' ORDER BY table_id)
                        FROM sync.catalog WHERE removed_at IS NULL
                        """))
        ).string(0, 0)
    }

    /// - Returns: the command's status, and what it wrote.
    private static func migrate(
        _ stack: StackAddress, _ config: URL
    ) async throws -> (status: Int32, text: String) {
        try await runProgram(
            "oversync", ["migrate", "--database", stack.database, "--config", config.path])
    }
}
