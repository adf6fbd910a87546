import ArgumentParser
import Foundation
import Model
import OperatorKit
import Postgres
import Sidecar
import WireJSON

/// `oversync verify`: does the database keep its promises?
struct VerifyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "verify",
        abstract: "Checks that change log, row states and business tables agree.",
        discussion: """
            Reads one snapshot while the services run, and prints each difference as it finds it. Exits with \
            1 if any is left. At the end it says how many rows of each table belong to no user; they are not \
            differences.
            """)

    @OptionGroup var database: MigrateCommand.Database
    @Option(help: "Only this user's data.")
    var user: String?
    @Option(help: "Only this business table (schema.table).", transform: TableName.init(argument:))
    var table: TableName?
    @Flag(help: "Mend differences that have one clear answer; the devices get the result.")
    var repair = false
    @Flag(help: "With --repair: delete rows on devices that are gone from their business table.")
    var acceptDeletes = false

    func validate() throws {
        if acceptDeletes, !repair { throw ValidationError("--accept-deletes needs --repair") }
    }

    func run() async throws {
        let target = try database.resolve()
        let left = try await withConnection(to: target) { reading in
            try await withConnection(to: target) { writing in
                guard repair else { return try await verify(reading, writing).left }
                let scope = [user, table?.description].compactMap(\.self)
                return try await AuditTrail.ofThisTerminal.record(
                    .repair, of: scope.isEmpty ? "all users" : scope.joined(separator: " "),
                    ["accept_deletes": .bool(acceptDeletes)], on: writing
                ) {
                    let (left, mended) = try await verify(reading, writing)
                    return .init(left, ["mended": .integer(mended), "left": .integer(left)])
                }
            }
        }
        if left > 0 { throw ExitCode(1) }
    }

    /// - Returns: how many differences are left, and how many were mended.
    private func verify(
        _ reading: PostgresConnection, _ writing: PostgresConnection
    ) async throws -> (left: Int64, mended: Int64) {
        let repairing = Repair(connection: writing, acceptsDeletes: acceptDeletes)
        var kinds: [Difference.Kind: Int] = [:]
        var mended: Int64 = 0
        // By table, how many are left.
        var open: [TableName: Int64] = [:]
        let uncaptured = try await UncapturedWrites.see(of: table, on: writing)
        let summary = try await Verifier(connection: reading, user: user, table: table)
            .run { differences in
                for difference in differences {
                    kinds[difference.kind, default: 0] += 1
                    print(difference)
                }
                fflush(nil)
                for (table, rows) in Dictionary(grouping: differences, by: \.table) {
                    let count = repair ? try await repairing.mend(rows) : 0
                    mended += count
                    if let table { open[table, default: 0] += Int64(rows.count) - count }
                }
            }
        let left = summary.differences - mended
        print(
            """
            \(summary.users) users, \(summary.changes) changes, \(summary.rows) rows: \
            \(summary.differences) differences\(repair ? ", \(mended) mended, \(left) left" : "")
            """)
        for rows in summary.rowsOfNobody { print("  \(rows)") }
        if user == nil {
            try await uncaptured.remove(
                exceptOf: Set(open.filter { $0.value > 0 }.keys), on: writing)
        }
        guard left > 0 else { return (left, mended) }
        for (kind, count) in kinds.sorted(by: { $0.key.rawValue < $1.key.rawValue }) {
            print("  \(count) \(kind.rawValue): \(kind.advice)")
        }
        return (left, mended)
    }
}

extension TableName {
    /// `schema.table` as a person types it.
    init(argument: String) throws {
        let parts = argument.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ isWireIdentifier($0) }) else {
            throw ValidationError("\"\(argument)\" is not a table name: use schema.table")
        }
        self.init(schema: String(parts[0]), table: String(parts[1]))
    }
}
