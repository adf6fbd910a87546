import ArgumentParser
import Foundation
import Model
import OperatorKit
import Postgres
import Sidecar
import WireJSON

/// `oversync adopt`: rows that were there before the table was registered.
struct AdoptCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "adopt",
        abstract: "Sends a registered table's existing rows to their users' devices.",
        discussion: """
            Runs online in small transactions; if interrupted, run it again. It also sends what plain SQL \
            inserted or updated while the table was not registered or its triggers were off, but not what \
            plain SQL deleted: `oversync verify --repair --accept-deletes` sends those deletes. Exits with 1 \
            if rows were left out because devices cannot take them, or columns could not be \
            compared.

            With --all, each registered business table in its turn, parents first; those without \
            an owner column are left out unless --user says whose their rows are.
            """)

    @Argument(help: "The table, as schema.table.", transform: TableName.init(argument:))
    var table: TableName?
    @Flag(help: "Every registered business table, parents first.")
    var all = false
    @Option(
        help:
            "For a table without an owner column: the user who gets the rows that belong to no one."
    )
    var user: String?
    @OptionGroup var output: OutputOptions
    @OptionGroup var database: MigrateCommand.Database

    func validate() throws {
        guard all != (table != nil) else {
            throw ValidationError("name one table, or use --all")
        }
    }

    /// What came of a table.
    private struct Adopted {
        let table: TableName
        var rows: Int64 = 0
        var leftOut: [Difference.Kind: Int] = [:]
        /// Why it was passed over.
        var reason: String?

        var countLeftOut: Int { leftOut.values.reduce(0, +) }
    }

    func run() async throws {
        let target = try database.resolve()
        let adopted = try await withConnection(to: target) { reading in
            try await withConnection(to: target) { writing in
                if let table { return [try await adopt(table, for: user, reading, writing)] }
                var adopted: [Adopted] = []
                let catalog = Catalog(tables: try await Catalog.readTables(on: writing))
                for table in catalog.tables where table.mode == .table {
                    let isOfNobody = table.ownerColumn == nil && user == nil
                    adopted.append(
                        isOfNobody
                            ? Adopted(
                                table: table.name,
                                reason: "it has no owner column: say with --user whose its rows are"
                            )
                            : try await adopt(
                                table.name, for: table.ownerColumn == nil ? user : nil, reading,
                                writing))
                }
                return adopted
            }
        }
        for one in adopted { show(one) }
        if all, !output.json {
            print(
                "\(adopted.reduce(0) { $0 + $1.rows }) rows of \(adopted.count) tables adopted")
        }
        if adopted.contains(where: { !$0.leftOut.isEmpty }) { throw ExitCode(1) }
    }

    private func adopt(
        _ table: TableName, for owner: String?, _ reading: PostgresConnection,
        _ writing: PostgresConnection
    ) async throws -> Adopted {
        var one = Adopted(table: table)
        var progress = ProgressLine()
        defer { progress.end() }
        one.rows = try await AuditTrail.ofThisTerminal.record(
            .adopt, of: table.description, ["owner": owner.map { .string($0) }], on: writing
        ) {
            let count = try await Adoption(reading: reading, writing: writing).adopt(
                table, owner: owner,
                leftOut: {
                    one.leftOut[$0.kind, default: 0] += 1
                    if output.json { return }
                    progress.end()
                    print($0)
                },
                progress: { progress.show($0, "rows of \(table) adopted") })
            return .init(
                count,
                [
                    "rows": .integer(Int64(count)), "left_out": .integer(Int64(one.countLeftOut)),
                ])
        }
        return one
    }

    private func show(_ one: Adopted) {
        if output.json {
            let document: JSONDocument = [
                "table": .string(one.table.description), "rows": .integer(one.rows),
                "left_out": .object(
                    one.leftOut.sorted { $0.key.rawValue < $1.key.rawValue }.map {
                        (name: $0.key.rawValue, value: .integer(Int64($0.value)))
                    }),
                "passed_over": one.reason.map { .string($0) },
            ]
            return print(document.text)
        }
        if let reason = one.reason { return print("\(one.table): passed over, \(reason)") }
        guard !one.leftOut.isEmpty else {
            return print("\(one.table): \(one.rows) rows adopted, all done")
        }
        print("\(one.table): \(one.rows) rows adopted, \(one.countLeftOut) left out")
        for (kind, count) in one.leftOut.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            print("  \(count) \(kind.rawValue): \(kind.advice)")
        }
    }
}
