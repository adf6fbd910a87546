import ArgumentParser
import Foundation
import Model
import OperatorKit
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
            """)

    @Argument(help: "The table, as schema.table.", transform: TableName.init(argument:))
    var table: TableName
    @Option(
        help:
            "For a table without an owner column: the user who gets the rows that belong to no one."
    )
    var user: String?
    @OptionGroup var database: MigrateCommand.Database

    func run() async throws {
        let target = try database.resolve()
        var left: [Difference.Kind: Int] = [:]
        let count = try await withConnection(to: target) { reading in
            try await withConnection(to: target) { writing in
                try await AuditTrail.ofThisTerminal.record(
                    .adopt, of: table.description, ["owner": user.map { .string($0) }], on: writing
                ) {
                    let count = try await Adoption(reading: reading, writing: writing).adopt(
                        table, owner: user,
                        leftOut: {
                            left[$0.kind, default: 0] += 1
                            print($0)
                        },
                        progress: {
                            print("\($0) rows adopted")
                            fflush(nil)
                        })
                    return .init(
                        count,
                        [
                            "rows": .integer(Int64(count)),
                            "left_out": .integer(Int64(left.values.reduce(0, +))),
                        ])
                }
            }
        }
        guard !left.isEmpty else { return print("\(table): \(count) rows adopted, all done") }
        print("\(table): \(count) rows adopted, \(left.values.reduce(0, +)) left out")
        for (kind, count) in left.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            print("  \(count) \(kind.rawValue): \(kind.advice)")
        }
        throw ExitCode(1)
    }
}
