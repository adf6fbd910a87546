import ArgumentParser
import Foundation
import OperatorKit
import Sidecar
import WireJSON

/// `oversync migrate fk-deferrable`: foreign keys that are checked at commit.
struct DeferrableKeysCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fk-deferrable",
        abstract: "Makes foreign keys of and to registered tables DEFERRABLE INITIALLY DEFERRED.",
        discussion: """
            Rows that reference each other can then arrive in one upload. Runs online and alters keys in \
            place, each in its own short transaction; running services notice within seconds. Keys that are \
            already deferred stay as they are. Exits with 1 if a key could not be converted. See \
            Docs/runbooks/foreign-keys-deferrable.md.
            """)

    @OptionGroup var database: MigrateCommand.Database
    @Flag(help: "Print the statements and change nothing.")
    var dryRun = false
    @Option(help: "Attempts for a table that is in use (1 to 1000).")
    var attempts = DeferrableKeys.Patience().attempts

    func validate() throws {
        guard (1...1000).contains(attempts) else {
            throw ValidationError("--attempts must be between 1 and 1000")
        }
    }

    func run() async throws {
        try await withConnection(to: try database.resolve()) { connection in
            var patience = DeferrableKeys.Patience()
            patience.attempts = attempts
            let keys = DeferrableKeys(connection: connection, patience: patience)
            if dryRun {
                let pending = try await keys.pending()
                if pending.isEmpty { print("nothing to do: every key is already deferred") }
                for key in pending {
                    let owner = key.isOurs ? "" : "  -- as \(key.owner)"
                    print("\(key.statement);\(owner)")
                }
                return
            }
            let (count, left) = try await AuditTrail.ofThisTerminal.record(
                .deferKeys, of: "foreign keys of registered tables", on: connection
            ) {
                let outcomes = try await keys.convert { outcome in
                    print("\(outcome.key): \(outcome.problem?.description ?? "deferred")")
                    fflush(nil)
                }
                let left = outcomes.count { $0.problem != nil }
                return .init(
                    (outcomes.count, left),
                    [
                        "converted": .integer(Int64(outcomes.count - left)),
                        "left": .integer(Int64(left)),
                    ])
            }
            print("\(count - left) keys converted, \(left) left")
            if left > 0 { throw ExitCode(1) }
        }
    }
}
