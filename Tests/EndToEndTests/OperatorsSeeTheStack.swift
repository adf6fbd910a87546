import DevStack
import Foundation
import OperatorKit
import Postgres
import Testing

/// What an operator sees with the command line, on a running stack.
@Suite("Operators see the stack", .timeLimit(.minutes(5)))
struct OperatorsSeeTheStack {
    private static let registrations = """
        tables:
          - {table: app.notes, owner: owner_id}
          - {table: app.tags, read: [staff, {user: "a*"}], write: [admin]}

        """
    private static let schema = """
        CREATE SCHEMA app;
        CREATE TABLE app.notes (
            id uuid PRIMARY KEY, owner_id text NOT NULL,
            title text CONSTRAINT short CHECK (length(title) < 10));
        CREATE TABLE app.tags (id text PRIMARY KEY, name text);
        """

    private static func withNotes(
        _ body: @escaping @Sendable (StackAddress) async throws -> Void
    ) async throws {
        try await withStack({ plan(in: $0, registrations, schema) }, body)
    }

    /// Runs `oversync` on a stack.
    private static func oversync(
        _ stack: StackAddress, _ arguments: String..., expecting expected: Int32 = 0
    ) async throws -> String {
        let takesDatabase = arguments.prefix(2) != ["failures", "retry"]
        let (status, text) = try await runProgram(
            "oversync", arguments + (takesDatabase ? ["--database", stack.database] : []),
            environment: ["OVERSYNC_RUN": stack.sockets, "HOME": "/", "PATH": "/usr/bin:/bin"])
        #expect(status == expected, "\(arguments): \(text)")
        return text
    }

    private static func execute(_ stack: StackAddress, _ sql: String) async throws {
        try await withConnection(to: stack.database) { try await $0.execute(script: sql) }
    }

    private static func insertion(_ change: Int, _ title: String) -> String {
        """
        {"source_change_id":\(change),"schema":"app","table":"notes","op":"INSERT",
         "pk":"00000000-0000-4000-8000-00000000000\(change)","server_version":0,
         "payload":{"id":"00000000-0000-4000-8000-00000000000\(change)","title":"\(title)"}}
        """
    }

    @Test("A blank --database stands for no database", arguments: ["", " "])
    func blank(_ database: String) async throws {
        let (status, text) = try await runProgram(
            "oversync", ["tables", "--database", database], environment: ["PATH": "/usr/bin:/bin"])
        #expect(status == 1 && text.contains("--database is empty"), "\(text)")
    }

    @Test("status shows database and services, and exits with 1 if something needs the operator")
    func status() async throws {
        try await Self.withNotes { stack in
            let good = try await Self.oversync(stack, "status")
            for part in ["PostgreSQL 1", "2 registered, 2 without a problem", "Nothing needs you."]
            {
                #expect(good.contains(part), "\(good)")
            }
            for service in ["auth", "upload", "download"] {
                let line = good.split(separator: "\n").first { $0.hasPrefix(service) }
                #expect(line?.contains(" ready (") == true, "\(good)")
            }
            try await Self.execute(stack, "ALTER TABLE app.notes DISABLE TRIGGER USER")
            let json = try await Self.oversync(stack, "status", "--json", expecting: 1)
            let problems = try #require(
                try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])[
                    "problems"]
            let texts = try #require(problems as? [String])
            #expect(texts.contains { $0.contains("app.notes") && $0.contains("oversync migrate") })
            let alone = try await Self.oversync(stack, "status", "--no-services", expecting: 1)
            #expect(!alone.contains("upload  "), "\(alone)")
            let tables = try await Self.oversync(stack, "tables", expecting: 1)
            #expect(tables.contains("0 of 4 triggers are on"), "\(tables)")
        }
    }

    @Test(
        "A database that does not answer, and one without the sidecar, are what needs the operator")
    func noDatabase() async throws {
        let nowhere = "postgresql://nobody@127.0.0.1:1/nothing"
        let (status, text) = try await runProgram(
            "oversync", ["status", "--no-services", "--database", nowhere])
        #expect(status == 1 && text.contains("Needs you:") && text.contains("127.0.0.1"), "\(text)")
        try await Self.withNotes { stack in
            try await Self.execute(stack, "CREATE DATABASE empty")
            #expect(stack.database.hasSuffix("/oversync"))
            let other = String(stack.database.dropLast("oversync".count)) + "empty"
            let (status, text) = try await runProgram(
                "oversync", ["status", "--no-services", "--database", other])
            #expect(status == 1 && text.contains("run oversync migrate"), "\(text)")
        }
    }

    @Test("failures: listed, shown, tried again; applied once its cause is gone; all of it audited")
    func failures() async throws {
        try await Self.withNotes { stack in
            #expect(try await Self.oversync(stack, "failures", "list").contains("no rejected"))
            try await stack.withClient { client in
                let phone = try await WireDevice(stack, client, user: "ann", device: "phone")
                let answer = try await phone.upload(
                    Self.insertion(1, "much too long a title \u{9B}2J"))
                #expect(try answer.value("statuses", 0, "status") != "applied", "\(answer.text)")
            }
            let list = try await Self.oversync(stack, "failures", "list", "--json")
            let failure = try #require(
                try JSONSerialization.jsonObject(with: Data(list.utf8)) as? [String: Any])
            #expect(failure["user_id"] as? String == "ann")
            let payload = try #require(failure["payload"] as? [String: Any])
            #expect(payload["title"] as? String == "much too long a title \u{9B}2J")
            // It cannot speak to the operator's terminal.
            #expect(!list.contains("\u{9B}"))
            let id = "\(try #require(failure["id"] as? Int))"
            let show = try await Self.oversync(stack, "failures", "show", id)
            #expect(show.contains("23514") && show.contains("short"), "\(show)")
            #expect(show.contains(#"\u009b2J"#) && !show.contains("\u{9B}"))
            let none = try await Self.oversync(stack, "failures", "list", "--user", "bob")
            #expect(none.contains("no rejected"))
            let still = try await Self.oversync(stack, "failures", "retry", id, expecting: 1)
            #expect(!still.contains("applied"), "\(still)")
            try await Self.execute(stack, "ALTER TABLE app.notes DROP CONSTRAINT short")
            let applied = try await Self.oversync(stack, "failures", "retry", id)
            #expect(applied.contains("applied, the row has version 1"), "\(applied)")
            for gone in [id, "999999"] {
                let text = try await Self.oversync(stack, "failures", "retry", gone, expecting: 1)
                #expect(text.contains("there is no open rejected change \(gone)"), "\(text)")
            }
            let audit = try await Self.oversync(stack, "audit", "--json")
            for action in ["materialize-failure.list", "materialize-failure.retry"] {
                #expect(audit.contains(action), "\(audit)")
            }
        }
    }

    @Test("config: what is printed registers the same tables again; what is wrong is named")
    func config() async throws {
        try await Self.withNotes { stack in
            let folder = URL(filePath: stack.authority).deletingLastPathComponent()
            let (printed, wrong) = (
                folder.appending(path: "printed.yaml"), folder.appending(path: "wrong.yaml")
            )
            let text = try await Self.oversync(stack, "config", "print")
            try text.write(to: printed, atomically: true, encoding: .utf8)
            let check = try await Self.oversync(
                stack, "config", "check", "--config", printed.path)
            #expect(
                check.contains("2 tables") && check.contains("nothing to do"), "\(text)\(check)")
            try "tables:\n  - {table: app.nowhere, owner: owner_id}\n".write(
                to: wrong, atomically: true, encoding: .utf8)
            let problems = try await Self.oversync(
                stack, "config", "check", "--config", wrong.path, expecting: 1)
            #expect(problems.contains("app.nowhere"), "\(problems)")
            let empty = folder.appending(path: "empty.yaml")
            try "tables: []\n".write(to: empty, atomically: true, encoding: .utf8)
            let none = try await Self.oversync(stack, "config", "check", "--config", empty.path)
            #expect(none.contains("warning: the file registers no tables"), "\(none)")
            let same = try await Self.oversync(stack, "config", "print")
            #expect(same == text)
        }
    }

    @Test(
        "adopt --all adopts what it can; verify and compact --dry-run count, and change nothing"
    )
    func wholeDatabase() async throws {
        try await Self.withNotes { stack in
            try await Self.execute(
                stack,
                """
                ALTER TABLE app.notes DISABLE TRIGGER USER;
                INSERT INTO app.notes SELECT gen_random_uuid(), 'ann', 'n' || n
                    FROM generate_series(1, 50) n;
                INSERT INTO app.tags VALUES ('t', 'tag');
                ALTER TABLE app.notes ENABLE TRIGGER USER;
                """)
            let differences = try await Self.oversync(stack, "verify", expecting: 1)
            #expect(differences.contains("… and 30 more: --all prints them"), "\(differences)")
            let all = try await Self.oversync(stack, "verify", "--all", expecting: 1)
            #expect(all.split(separator: "\n").count { $0.hasPrefix("unknown_row") } == 50)
            let json = try await Self.oversync(stack, "verify", "--json", expecting: 1)
            #expect(json.split(separator: "\n").last?.contains(#""left":50"#) == true, "\(json)")
            let adopted = try await Self.oversync(stack, "adopt", "--all")
            #expect(adopted.contains("app.notes: 50 rows adopted, all done"), "\(adopted)")
            #expect(adopted.contains("app.tags: passed over"), "\(adopted)")
            for arguments in [["adopt"], ["adopt", "--all", "app.notes"]] {
                let (status, text) = try await runProgram("oversync", arguments)
                #expect(status == 64 && text.contains("--all"), "\(text)")
            }
            let owned = try await Self.oversync(stack, "adopt", "--all", "--user", "ann", "--json")
            #expect(owned.contains(#""table":"app.tags","rows":1"#), "\(owned)")
            #expect(try await Self.oversync(stack, "verify").contains("0 differences"))

            // An old version of each row: what a dry run counts is what the next run removes.
            try await Self.execute(
                stack,
                """
                UPDATE app.notes SET title = title || '+'; DELETE FROM app.tags;
                UPDATE sync.change_log SET ts = now() - interval '400 days';
                """)
            let counted = try await Self.oversync(stack, "compact", "--dry-run")
            #expect(
                counted.contains("51 replaced changes and 1 deletes would be removed from 1 logs"),
                "\(counted)")
            let again = try await Self.oversync(stack, "compact", "--dry-run", "--json")
            #expect(again.contains(#""superseded":51,"tombstones":1"#), "\(again)")
            let removed = try await Self.oversync(stack, "compact")
            #expect(
                removed.contains("51 replaced changes and 1 deletes removed from 1 logs"),
                "\(removed)")
            #expect(try await Self.oversync(stack, "verify").contains("0 differences"))
        }
    }
}
