import ArgumentParser
import Foundation
import OperatorKit
import Postgres
import RPC
import ServiceKit
import Sidecar
import WireJSON

/// `oversync status`: the whole installation on one screen.
struct StatusCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "status",
        abstract: "Shows database, tables, backlog and services on one screen, and what needs you.",
        discussion: """
            Services are asked over their sockets (in OVERSYNC_RUN, or the running dev stack's); \
            without either, or with --no-services, the database alone is looked at. Exits with 1 \
            if something needs you.
            """)

    @Flag(inversion: .prefixedNo, help: "Ask the services, too.")
    var services = true
    @OptionGroup var output: OutputOptions
    @OptionGroup var database: MigrateCommand.Database

    func run() async throws {
        let target = try database.resolve()
        let sockets = try? CalledService.sockets(in: database.stack)
        if services, let sockets {
            async let replicas = ServiceReport.read(in: sockets)
            try show(await Self.read(target), await replicas)
        } else {
            try show(await Self.read(target), nil)
        }
    }

    private static func read(_ target: PostgresConfiguration) async -> DatabaseReport {
        do {
            return .answered(try await withConnection(to: target, DatabaseReport.Facts.read))
        } catch {
            return .problem("\(error)")
        }
    }

    private func show(_ database: DatabaseReport, _ replicas: [ServiceReport]?) throws {
        let problems = database.problems + (replicas ?? []).flatMap(\.problems)
        if output.json {
            let document: JSONDocument = [
                "tool": [
                    "version": .string(BuildInfo.version),
                    "layout": .integer(Int64(BuildInfo.layout)),
                ],
                "database": database.document,
                "services": replicas.map { .array($0.map(\.document)) },
                "problems": .array(problems.map { .string($0) }),
            ]
            print(document.text)
        } else {
            print(database.text)
            for replica in replicas ?? [] { print(replica.text) }
            if replicas == nil, services { print("services    not asked: set OVERSYNC_RUN") }
            print(problems.isEmpty ? "\nNothing needs you." : "\nNeeds you:")
            for problem in problems { print("  - \(problem)") }
        }
        if !problems.isEmpty { throw ExitCode(1) }
    }
}

/// What is seen of the database.
private enum DatabaseReport {
    struct Facts {
        let layout: Migrator.Status
        /// Nil as long as the layout lacks steps: the sidecar may not have what is asked for.
        let content: Content?

        struct Content {
            let overview: DatabaseOverview
            let health: SidecarHealth
            let epoch: Epoch
            let tables: [TableOverview]
            let missingGrants: [RoleGrant]
        }

        static func read(_ connection: PostgresConnection) async throws -> Facts {
            let layout = try await Migrator(connection: connection).status()
            guard layout.pending.isEmpty else { return Facts(layout: layout, content: nil) }
            return Facts(
                layout: layout,
                content: Content(
                    overview: try await DatabaseOverview.read(on: connection),
                    health: try await SidecarHealth.read(on: connection),
                    epoch: try await Epoch.read(on: connection),
                    tables: try await TableOverview.read(on: connection),
                    missingGrants: try await RoleGrants.missing(on: connection)))
        }
    }

    case answered(Facts)
    case problem(String)

    /// A standby with a larger lag is of no use after a failover, in bytes.
    private static let farBehind: Int64 = 1 << 30

    var problems: [String] {
        switch self {
        case .problem(let text): return ["database: \(text)"]
        case .answered(let facts):
            guard let content = facts.content else {
                return [
                    "the database lacks layout \(Migration.currentVersion): run oversync migrate"
                ]
            }
            return Self.problems(of: content)
        }
    }

    private static func problems(of content: Facts.Content) -> [String] {
        let overview = content.overview
        var problems = content.missingGrants.map {
            "the role \($0.role) lacks \($0.privilege): run oversync migrate"
        }
        problems += content.tables.filter(\.lacksCapture).map {
            "\($0.table.name): capture is \($0.capture): run oversync migrate, then oversync verify"
        }
        if overview.openFailures > 0 {
            let failures = Words.count(
                overview.openFailures, upTo: DatabaseOverview.countedRows, "rejected change")
            problems.append("\(failures): see oversync failures list")
        }
        problems += content.health.warnings
        if let lag = overview.standbyLagBytes, lag >= farBehind {
            problems.append("a standby is \(Words.bytes(lag)) behind: see pg_stat_replication")
        }
        return problems
    }

    var text: String {
        switch self {
        case .problem: return "database    not seen"
        case .answered(let facts):
            let layout = "layout \(facts.layout.version) of \(Migration.currentVersion)"
            guard let content = facts.content else { return "database    \(layout)" }
            return Self.text(of: content, layout)
        }
    }

    private static func text(of content: Facts.Content, _ layout: String) -> String {
        let overview = content.overview
        let limit = DatabaseOverview.countedRows
        let registered = content.tables.filter { !$0.table.isRemoved }
        let captured = registered.filter { !$0.lacksCapture }
        let changes = overview.estimatedChanges.map { "about \($0) changes" } ?? "not counted yet"
        let standbys =
            overview.isStandby
            ? "this is a standby"
            : Words.count(overview.standbys, "standby")
                + (overview.standbyLagBytes.map { ", \(Words.bytes($0)) behind at most" } ?? "")
        return """
            database    \(overview.database), PostgreSQL \(overview.serverVersion), \(layout), \
            \(standbys)
            epoch       \(content.epoch.id), since \(content.epoch.began ?? content.epoch.created)
            tables      \(registered.count) registered, \(captured.count) without a problem
            log         \(changes), \(Words.bytes(overview.logBytes))
            upkeep      \(upkeep(of: content.health))
            users       \(Words.count(overview.users, upTo: limit, "user")), \
            \(Words.count(overview.devices, upTo: limit, "device")): \(overview.activeDevices) \
            active within a day, \(overview.revokedDevices) revoked
            backlog     \(Words.count(overview.openFailures, upTo: limit, "rejected change"))\
            \(overview.oldestFailure.map { ", the oldest \(Words.age($0)) old" } ?? "")
            """
    }

    private static func upkeep(of health: SidecarHealth) -> String {
        let dead = health.tables.reduce(0) { $0 + $1.deadRows }
        let bloat = health.tables.reduce(0) { $0 + ($1.bloatBytes ?? 0) }
        let floor = health.database.newestFloor.flatMap { Int64(exactly: $0.rounded(.down)) }
        return "\(Words.count(dead, "dead row")), \(Words.bytes(bloat)) without rows, "
            + (floor.map { "the newest removed delete is \(Words.age($0)) old" }
                ?? "no delete was removed")
    }

    var document: JSONDocument {
        switch self {
        case .problem(let text): return ["answers": false, "problem": .string(text)]
        case .answered(let facts):
            let layout = JSONDocument.integer(Int64(facts.layout.version))
            guard let content = facts.content else { return ["answers": true, "layout": layout] }
            let registered = content.tables.count { !$0.table.isRemoved }
            let head: [(name: String, value: JSONDocument?)] = [
                ("answers", true), ("layout", layout),
            ]
            return .object(
                head
                    + content.overview.members(
                        epoch: content.epoch.id, registeredTables: registered))
        }
    }
}

/// What is seen of a service's processes.
private struct ServiceReport {
    private static let patience = Duration.seconds(1)
    private static let pause = Duration.milliseconds(20)

    struct Replica {
        let name: String
        let version: String
        let status: ServiceStatus
    }

    let service: CalledService
    let replicas: [Replica]

    static func read(in sockets: String) async -> [ServiceReport] {
        await withTaskGroup(of: ServiceReport.self) { group in
            for service in CalledService.allCases {
                group.addTask { await read(service, in: sockets) }
            }
            let reports = await group.reduce(into: []) { $0.append($1) }
            return CalledService.allCases.compactMap { service in
                reports.first { $0.service == service }
            }
        }
    }

    private static func read(_ service: CalledService, in sockets: String) async -> ServiceReport {
        guard let client = try? service.client(in: sockets) else {
            return ServiceReport(service: service, replicas: [])
        }
        return await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await client.run() }
            defer { group.cancelAll() }
            let end = ContinuousClock.now + patience
            // The client tells nobody when it has found what there is. All replicas answer within
            // the pause after the first.
            while client.replicas.isEmpty, ContinuousClock.now < end {
                try? await Task.sleep(for: pause)
            }
            try? await Task.sleep(for: pause * 5)
            return ServiceReport(
                service: service,
                replicas: client.replicas.map {
                    Replica(
                        name: $0.name,
                        version: client.server(named: $0.name)?.productVersion ?? "",
                        status: $0.status)
                })
        }
    }

    var problems: [String] {
        if replicas.isEmpty { return ["\(service.rawValue): no process answers"] }
        return replicas.flatMap { replica in
            replica.status.problems.map { "\(service.rawValue) (\(replica.name)): \($0)" }
        }
    }

    var text: String {
        let label = service.rawValue.padding(toLength: 12, withPad: " ", startingAt: 0)
        if replicas.isEmpty { return "\(label)no process answers" }
        return label
            + replicas.map { "\($0.name) \($0.status.state.rawValue) (\($0.version))" }
            .joined(separator: ", ")
    }

    var document: JSONDocument {
        [
            "service": .string(service.rawValue),
            "replicas": .array(
                replicas.map {
                    [
                        "name": .string($0.name), "version": .string($0.version),
                        "status": .string($0.status.state.rawValue),
                        "problems": .array($0.status.problems.map { .string($0) }),
                    ]
                }),
        ]
    }
}
