import AsyncHTTPClient
import Demo
import DevStack
import Foundation
import GRDB
import LocalPostgres
import NIOCore
import NIOHTTP1
import OperatorKit
import OverSQLite
import OverSQLiteAsyncHTTP
import Postgres
import RestoreDrill
import Sidecar
import Testing

@Suite("Backups restored", .timeLimit(.minutes(5)))
struct BackupsRestored {
    private static let source = FileManager.default.currentDirectoryPath

    @Test(
        "P7: restored to before acknowledged changes, all of them come back and are reported"
    )
    func drill() async throws {
        try await withStarted(demonstrationPlan) { stack in
            var plan = RestoreDrill.Plan()
            plan.turns = 3
            plan.seed = 3
            var seeds = (UInt64(3)...4).makeIterator()
            var lost = 0
            try await RestoreDrill.run(plan, on: stack, next: { seeds.next() }) { report in
                #expect(report.faults == [])
                #expect(report.restored == report.lost)
                lost += report.lost
            }
            #expect(lost > 0)
        }
    }

    /// ```
    /// phone     writes 1…20 ── syncs ── edits, deletes, writes ── syncs ───────── syncs: sends
    /// again laptop                 ── syncs ─────────────────────────── syncs ─────────── syncs
    /// database              pg_dump ─────────────────────────────────── pg_restore
    /// ```
    @Test("P7: a dump is restored without a new epoch, and devices bring back what it lacks")
    func dump() async throws {
        try await withDevices { stack, postgres, phone, laptop in
            for number in 1...20 { try phone.insert(number) }
            for device in [phone, laptop] { try await device.syncUntilAnswered() }
            let file = try postgres.makeDirectory("dumps") + "/app.dump"
            try await postgres.run(
                beside: "pg_dump", ["-Fc", "-f", file, Stack.databaseName])
            for number in 21...25 { try phone.insert(number) }
            try phone.write { db in
                try db.execute(sql: "UPDATE users SET name = 'edited' WHERE name = '1'")
                try db.execute(sql: "DELETE FROM users WHERE name = '2'")
            }
            for device in [phone, laptop] { try await device.syncUntilAnswered() }
            let confirmed = try phone.rows()

            try await withConnection(to: postgres.connectionURL()) {
                try await $0.execute(
                    script: "DROP DATABASE \(Stack.databaseName) WITH (FORCE)")
            }
            try await postgres.run(
                beside: "pg_restore", ["--exit-on-error", "--create", "-d", "postgres", file])
            for device in [laptop, phone, laptop] { try await device.syncUntilAnswered() }
            try await expect(confirmed, at: [phone, laptop], stack)
        }
    }

    @Test("One table that was emptied by mistake is put back by plain SQL, and reaches the devices")
    func table() async throws {
        try await withDevices { stack, postgres, phone, laptop in
            for number in 1...20 { try phone.insert(number) }
            for device in [phone, laptop] { try await device.syncUntilAnswered() }
            let confirmed = try phone.rows()
            let file = try postgres.makeDirectory("dumps") + "/app.dump"
            try await postgres.run(
                beside: "pg_dump", ["-Fc", "-f", file, Stack.databaseName])
            try await withConnection(to: stack.database) {
                try await $0.execute(script: "DELETE FROM business.users")
            }
            for device in [phone, laptop] {
                try await device.engine.fetchChanges()
                #expect(try device.rows() == [])
            }
            try await postgres.run(
                beside: "pg_restore",
                [
                    "--exit-on-error", "--data-only", "--schema=business", "--table=users", "-d",
                    Stack.databaseName, file,
                ])
            for device in [phone, laptop] { try await device.engine.fetchChanges() }
            try await expect(confirmed, at: [phone, laptop], stack)
        }
    }

    @Test("The steps of the page on failing over run as they stand there")
    func failover() async throws {
        try await withDevices { stack, postgres, phone, laptop in
            let programs = try Self.programs(for: postgres)
            for number in 1...10 { try phone.insert(number) }
            for device in [phone, laptop] { try await device.syncUntilAnswered() }
            let standby = try await postgres.startStandby(directory: stack.sockets + "-standby")
            let backups = try standby.makeDirectory("backups")
            let variables = [
                "BACKUP_DIR": backups, "STANDBY": standby.directory + "/data",
                "DATABASE": standby.connectionURL(database: Stack.databaseName),
            ]
            for number in 11...15 { try phone.insert(number) }
            for device in [phone, laptop] { try await device.syncUntilAnswered() }
            let confirmed = try phone.rows()
            try await postgres.kill()
            let receiver = try standby.start(
                beside: "bash", [programs + "/Deploy/backup/backup.sh", "receive"],
                environment: variables)
            try await Self.run("Docs/operations/failover.md", programs, standby, variables)
            await receiver.stop()
            // The services find it where the primary was.
            try await standby.stop()
            try await postgres.start(from: standby.directory + "/data")
            for device in [laptop, phone, laptop] { try await device.syncUntilAnswered() }
            try await expect(confirmed, at: [phone, laptop], stack)
            try FileManager.default.removeItem(atPath: standby.directory)
        }
    }

    /// ```
    /// phone     syncs ─────────── syncs ───── syncs
    /// laptop    syncs, from the standby ───── syncs, from the primary
    /// standby   follows ── serves pages ── killed
    /// ```
    @Test("The steps of the page on replicas run as they stand there, and a lost one fails nobody")
    func replicas() async throws {
        let folder =
            FileManager.default.temporaryDirectory.path + "/oversync-replica-\(UUID().uuidString)"
        let place = try await LocalPostgres(directory: folder)
        let name = Stack.databaseName
        let url = place.connectionURL(database: name, role: ServiceRole.download.defaultName)
        let port = try FreePort.find()
        func plan(_ directory: StackDirectory) -> Stack.Plan {
            var plan = demonstrationPlan(in: directory)
            for replica in ["download", "download-2"] {
                plan.environmentOf[replica] = ["OVERSYNC_DOWNLOAD_STANDBY_URLS": url]
            }
            plan.environmentOf["download"]?["OVERSYNC_ADMIN_PORT"] = "\(port)"
            return plan
        }
        try await withDevices(plan) { stack, postgres, phone, laptop in
            for number in 1...10 { try phone.insert(number) }
            for device in [phone, laptop] { try await device.syncUntilAnswered() }
            let standby = try await postgres.startStandby(directory: folder)
            let copy = standby.connectionURL(database: name)
            try await Self.run(
                "Docs/operations/replicas.md", try Self.programs(for: postgres), postgres,
                ["DATABASE": stack.database, "STANDBY_DATABASE": copy])

            let served = """
                SELECT (coalesce(idx_tup_fetch, 0) > 0)::text FROM pg_stat_all_tables
                WHERE relid = 'sync.change_log'::regclass
                """
            let deadline = ContinuousClock.now + .seconds(60)
            var number = 10
            while try await Self.text(served, copy) != "true" {
                try #require(.now < deadline, "the standby serves nobody")
                number += 1
                try phone.insert(number)
                for device in [phone, laptop] { try await device.engine.syncChanges() }
            }
            while try await !Self.ready(port).contains(" serves pages, ") {
                try #require(.now < deadline, "/ready does not show the standby")
            }
            try await standby.kill()
            for _ in 0..<3 {
                number += 1
                try phone.insert(number)
                for device in [phone, laptop] { try await device.engine.syncChanges() }
            }
            try await expect(try phone.rows(), at: [phone, laptop], stack)
            #expect(try phone.rows().count == number)
            try await standby.destroy()
        }
    }

    @Test("The steps of the page on restoring run as they stand there")
    func restore() async throws {
        try await withDevices { stack, postgres, phone, laptop in
            let backups = try postgres.makeDirectory("backups")
            let programs = try Self.programs(for: postgres)
            var variables = [
                "BACKUP_DIR": backups, "PGDATA": postgres.directory + "/data",
                "DATABASE": stack.database,
            ]
            let receiver = try postgres.start(
                beside: "bash", [programs + "/Deploy/backup/backup.sh", "receive"],
                environment: variables)
            for number in 1...10 { try phone.insert(number) }
            for device in [phone, laptop] { try await device.syncUntilAnswered() }
            try await postgres.run(
                beside: "bash", [programs + "/Deploy/backup/backup.sh", "base"],
                environment: variables)
            variables["TARGET"] = try await Self.text(
                "SELECT clock_timestamp()::text", stack.database)
            for number in 11...15 { try phone.insert(number) }
            for device in [phone, laptop] { try await device.syncUntilAnswered() }
            try await Self.waitUntilReceived(postgres)
            let confirmed = try phone.rows()
            try await Self.run("Docs/operations/restore.md", programs, postgres, variables)
            #expect(
                try await Self.text("SELECT count(*)::text FROM business.users", stack.database)
                    == "10")
            for device in [laptop, phone, laptop] { try await device.syncUntilAnswered() }
            try await expect(confirmed, at: [phone, laptop], stack)
            try await postgres.run(
                beside: "bash", [programs + "/Deploy/backup/backup.sh", "status"],
                environment: variables)
            await receiver.stop()
        }
    }

    // MARK: Help

    private func withDevices(
        _ plan: (StackDirectory) -> Stack.Plan = demonstrationPlan,
        _ body:
            @escaping @Sendable (StackAddress, LocalPostgres, RestoredDevice, RestoredDevice)
            async throws -> Void
    ) async throws {
        try await withStack(plan) { stack, postgres in
            let folder = stack.sockets + "-devices"
            try FileManager.default.createDirectory(
                atPath: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(atPath: folder) }
            let transport = try AsyncHTTPTransport(trusting: stack.authority)
            do {
                let phone = try await RestoredDevice("phone", stack, transport, folder)
                let laptop = try await RestoredDevice("laptop", stack, transport, folder)
                try await body(stack, postgres, phone, laptop)
            } catch {
                try await transport.shutdown()
                throw error
            }
            try await transport.shutdown()
        }
    }

    private func expect(
        _ rows: [String], at devices: [RestoredDevice], _ stack: StackAddress
    ) async throws {
        for device in devices { #expect(try device.rows() == rows) }
        #expect(
            try await Self.text(
                #"SELECT string_agg(name, ',' ORDER BY name COLLATE "C") FROM business.users"#,
                stack.database) == rows.joined(separator: ","))
        try await withConnection(to: stack.database) { connection in
            let summary = try await Verifier(connection: connection, user: nil, table: nil).run {
                differences in
                for difference in differences { Issue.record("\(difference)") }
            }
            #expect(summary.differences == 0)
        }
    }

    /// What a service's `/ready` says.
    private static func ready(_ port: Int) async throws -> String {
        let answer = try await HTTPClient.shared.execute(
            HTTPClientRequest(url: "http://127.0.0.1:\(port)/ready"), timeout: .seconds(10))
        #expect(answer.status == .ok)
        return String(buffer: try await answer.body.collect(upTo: 1 << 20))
    }

    private static func text(_ sql: String, _ database: String) async throws -> String {
        try await withConnection(to: database) {
            try await $0.run(Command(Statement(name: "text", sql: sql))).string(0, 0)
        }
    }

    /// Returns when all that was committed until now has arrived at the receiver of WAL.
    private static func waitUntilReceived(_ postgres: LocalPostgres) async throws {
        let database = postgres.connectionURL()
        let end = try await text("SELECT pg_current_wal_flush_lsn()::text", database)
        let deadline = ContinuousClock.now + .seconds(30)
        let received = "SELECT bool_or(flush_lsn >= '\(end)')::text FROM pg_stat_replication"
        while try await text(received, database) != "true" {
            try #require(.now < deadline, "WAL is not received")
        }
    }

    /// A folder that the server's user can read, with the programs that pages name.
    private static func programs(for postgres: LocalPostgres) throws -> String {
        let folder = try postgres.makeDirectory("programs")
        let files = FileManager.default
        try files.createDirectory(
            atPath: folder + "/Deploy/backup", withIntermediateDirectories: true)
        for name in ["backup.sh", "restore.sh"] {
            try files.copyItem(
                atPath: "\(source)/Deploy/backup/\(name)", toPath: "\(folder)/Deploy/backup/\(name)"
            )
        }
        try files.copyItem(
            atPath: try Executables.find("oversync"), toPath: folder + "/oversync")
        for path in ["", "/Deploy", "/Deploy/backup"] {
            try files.setAttributes([.posixPermissions: 0o755], ofItemAtPath: folder + path)
        }
        return folder
    }

    /// Runs all blocks of commands of a page, in order and in one shell.
    private static func run(
        _ page: String, _ programs: String, _ postgres: LocalPostgres, _ variables: [String: String]
    ) async throws {
        let text = try String(contentsOfFile: "\(source)/\(page)", encoding: .utf8)
        let blocks = text.matches(of: /\n```sh\n(?<commands>(?s).*?)\n```/).map(\.output.commands)
        try #require(blocks.count >= 2)
        let path = ProcessInfo.processInfo.environment["PATH"] ?? ""
        let script = """
            set -euo pipefail
            cd \(programs)
            export PATH=\(programs):\(path)
            for folder in /usr/lib/postgresql/*/bin; do PATH=$PATH:$folder; done

            """
        let output = try await postgres.run(
            beside: "bash", ["-c", script + blocks.joined(separator: "\n")],
            environment: variables)
        print(output)
    }
}
