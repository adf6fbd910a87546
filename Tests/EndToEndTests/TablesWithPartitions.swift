import Demo
import DevStack
import Foundation
import OperatorKit
import Postgres
import Testing

/// A whole stack on tables that are split, and `oversync migrate --partitions` as operators run it.
@Suite("Tables with partitions", .timeLimit(.minutes(5)))
struct TablesWithPartitions {
    private static func splitPlan(in directory: StackDirectory) -> Stack.Plan {
        var plan = demonstrationPlan(in: directory)
        plan.partitions = 4
        return plan
    }

    private static func oversync(
        _ arguments: String..., database: String
    ) async throws -> (status: Int32, text: String) {
        try await runProgram("oversync", arguments + ["--database", database])
    }

    private static func count(_ sql: String, _ database: String) async throws -> Int64 {
        try await withConnection(to: database) { connection in
            try await connection.rows(
                Statement(name: "partitions_count", sql: sql), of: Int64.self
            ).one()
        }
    }

    private static let partitions =
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'sync.row_state'::regclass"

    @Test("The demonstration runs, and the tools find nothing wrong")
    func demonstration() async throws {
        try await withStack(Self.splitPlan) { stack in
            #expect(try await Self.count(Self.partitions, stack.database) == 4)
            let folder = URL(filePath: stack.authority).deletingLastPathComponent()
                .appending(path: "devices").path
            let demo = try DemoRun(server: DemoServer(stack), folder: folder) { _ in }
            let isEqual = try await demo.run()
            #expect(isEqual)
            for arguments in [["verify"], ["compact", "--superseded-days", "1"]] {
                let (status, text) = try await runProgram(
                    "oversync", arguments + ["--database", stack.database])
                #expect(status == 0, "\(text)")
            }
            let (_, text) = try await Self.oversync(
                "status", "--no-services", database: stack.database)
            #expect(text.contains("dead row") && text.contains("no delete was removed"), "\(text)")
        }
    }

    @Test("Services must be stopped; a plan is shown meanwhile; an installation may begin split")
    func command() async throws {
        try await withStack { stack in
            let folder = URL(filePath: stack.authority).deletingLastPathComponent()
            let config = folder.appending(path: "same.yaml").path
            try Data(DemoTables.registrations.utf8).write(to: URL(filePath: config))
            func migrate(
                _ arguments: String..., database: String
            ) async throws -> (status: Int32, text: String) {
                try await runProgram(
                    "oversync",
                    ["migrate", "--config", config, "--database", database] + arguments)
            }
            let refused = try await migrate("--partitions", "4", database: stack.database)
            #expect(refused.status == 1)
            #expect(refused.text.contains("services are connected (oversync-"), "\(refused.text)")
            let plan = try await migrate(
                "--partitions", "4", "--plan", database: stack.database)
            #expect(plan.status == 0)
            #expect(plan.text.contains("PARTITION BY HASH (scope_id)"))
            #expect(plan.text.contains("-- Connected now: oversync-"))
            #expect(try await Self.count(Self.partitions, stack.database) == 0)
            let wrong = try await migrate("--partitions", "65", database: stack.database)
            #expect(wrong.status == 64 && wrong.text.contains("use 1 to 64"))

            // Another installation on the same server.
            let fresh = String(stack.database.dropLast(Stack.databaseName.count)) + "another"
            try await withConnection(to: stack.database) { connection in
                try await connection.execute(script: "CREATE DATABASE another")
            }
            try await withConnection(to: fresh) { connection in
                try await connection.execute(script: DemoTables.businessSchema)
            }
            let made = try await migrate("--partitions", "4", database: fresh)
            #expect(made.status == 0, "\(made.text)")
            #expect(made.text.contains("in 4 partitions each"), "\(made.text)")
            #expect(try await Self.count(Self.partitions, fresh) == 4)
            let again = try await migrate("--partitions", "4", database: fresh)
            #expect(again.status == 0 && !again.text.contains("partitions"), "\(again.text)")
            let kept = try await migrate("--plan", database: fresh)
            #expect(kept.text.contains("Nothing to do"), "\(kept.text)")
            let back = try await migrate("--partitions", "1", database: fresh)
            #expect(back.status == 0 && back.text.contains("one table each"), "\(back.text)")
            #expect(try await Self.count(Self.partitions, fresh) == 0)
        }
    }
}
