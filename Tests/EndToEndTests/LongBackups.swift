import Foundation
import LocalPostgres
import ObservabilityFiles
import TestSupport
import Testing

/// A base backup that takes long.
@Suite("Long backups", .timeLimit(.minutes(3)))
struct LongBackups {
    /// Seconds between two writings, and what a busy machine makes of them.
    private static let patience: Duration = .seconds(60)

    @Test("While a base backup runs, Prometheus hears that WAL is received")
    func metrics() async throws {
        try await TestDatabase.withCluster { postgres in
            let programs = try postgres.makeDirectory("programs")
            let backups = try postgres.makeDirectory("backups")
            let files = FileManager.default
            try files.copyItem(
                at: ObservabilityFiles.root.appending(path: "Deploy/backup/backup.sh"),
                to: URL(filePath: programs + "/backup.sh"))
            // PostgreSQL's own, which begins when it is let.
            let gate = programs + "/gate"
            let script = """
                #!/bin/bash
                until [[ -e \(gate) ]]; do read -rt 0.2 <> <(:) || true; done
                PATH=${PATH#*:} exec pg_basebackup "$@"

                """
            let program = programs + "/pg_basebackup"
            try script.write(toFile: program, atomically: true, encoding: .utf8)
            try files.setAttributes([.posixPermissions: 0o755], ofItemAtPath: program)
            try files.setAttributes([.posixPermissions: 0o755], ofItemAtPath: programs)
            let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
            let runner = try postgres.start(
                beside: "bash", [programs + "/backup.sh", "run"],
                environment: ["BACKUP_DIR": backups, "PATH": programs + ":" + path])

            func told(_ name: String) -> Int? {
                let file = backups + "/metrics/oversync_backup.prom"
                let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
                let line = text.split(separator: "\n").first { $0.hasPrefix(name + " ") }
                return line.flatMap { Int($0.dropFirst(name.count + 1)) }
            }
            let received = "oversync_backup_wal_timestamp_seconds"
            try await eventually(within: Self.patience, "the first metrics") {
                told(received) != nil
            }
            let first = try #require(told(received))
            try await eventually(within: Self.patience, "newer metrics") {
                told(received) ?? 0 > first
            }
            #expect(told("oversync_backup_bases") == 0)
            #expect(files.createFile(atPath: gate, contents: nil))
            try await eventually(within: Self.patience, "the base backup") {
                told("oversync_backup_bases") == 1
            }
            await runner.stop()
        }
    }
}
