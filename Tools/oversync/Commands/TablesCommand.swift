import ArgumentParser
import Model
import OperatorKit
import Sidecar
import WireJSON

/// `oversync tables`: what is registered, and whether all of it is captured.
struct TablesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tables",
        abstract: "Lists the registered tables, and whether plain SQL on them reaches devices.",
        discussion: """
            Rows and sizes are PostgreSQL's estimates. Exits with 1 if writes by plain SQL of a \
            table do not, or did not, reach devices: run oversync migrate, then oversync verify.
            """)

    @OptionGroup var output: OutputOptions
    @OptionGroup var database: MigrateCommand.Database

    func run() async throws {
        let tables = try await withConnection(to: try database.resolve()) {
            try await TableOverview.read(on: $0)
        }
        if output.json {
            for table in tables { print(table.document.text) }
        } else {
            var lines = TextTable(["TABLE", "KEY", "OWNER", "ROWS", "SIZE", "REJECTED", "CAPTURE"])
            for table in tables { lines.add(table.cells) }
            print(lines.text)
        }
        if tables.contains(where: \.lacksCapture) { throw ExitCode(1) }
    }
}

extension TableOverview {
    /// In words: the state of its capture.
    var capture: String {
        if table.isRemoved { return "no longer registered" }
        if table.mode == .sidecar { return "not needed: the sidecar alone holds its rows" }
        if !captureProblems.isEmpty { return captureProblems.joined(separator: "; ") }
        if let uncapturedSince {
            return "on, but something was written without it \(Words.age(uncapturedSince)) ago"
        }
        return "on"
    }

    fileprivate var cells: [String] {
        [
            printable("\(table.name)"), "\(printable(table.keyColumn)) (\(table.keyKind.rawValue))",
            table.ownerColumn.map { printable($0) } ?? "-", estimatedRows.map { "~\($0)" } ?? "?",
            bytes.map(Words.bytes) ?? "-", "\(openFailures)", capture,
        ]
    }
}
