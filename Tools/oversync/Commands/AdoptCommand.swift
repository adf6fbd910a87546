import ArgumentParser
import Foundation
import Model
import OperatorKit
import Sidecar

/// `oversync adopt`: rows that were there before the table was registered.
struct AdoptCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "adopt",
        abstract: "Sends a registered table's existing rows to their users' devices.",
        discussion: """
            Works online in small transactions. Interrupted, it is simply run again. Also brings over what \
            plain SQL inserted and updated while the table was not registered, or its triggers were off; not \
            what it deleted: `oversync verify --repair --accept-deletes` tells the devices of that. The exit \
            code is 1 if rows were left out, since devices cannot take them.
            """)

    @Argument(help: "schema.table", transform: TableName.init(argument:))
    var table: TableName
    @Option(help: "For a table without an owner column: the user who gets the rows nobody has.")
    var user: String?
    @OptionGroup var database: MigrateCommand.Database

    func run() async throws {
        let target = try database.resolve()
        var left = 0
        let count = try await withConnection(to: target) { reading in
            try await withConnection(to: target) { writing in
                try await Adoption(reading: reading, writing: writing).adopt(
                    table, owner: user,
                    leftOut: {
                        left += 1
                        print($0)
                    },
                    progress: {
                        print("\($0) rows adopted")
                        fflush(nil)
                    })
            }
        }
        guard left > 0 else { return print("\(table): \(count) rows adopted, all done") }
        print("\(table): \(count) rows adopted, \(left) left out")
        print(
            "  \(left) \(Difference.Kind.unsendableRow.rawValue): \(Difference.Kind.unsendableRow.advice)"
        )
        throw ExitCode(1)
    }
}
