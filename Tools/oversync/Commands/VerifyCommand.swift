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
            Reads one snapshot while the services run, and prints the first differences that it finds, \
            with --all each of them, and a summary. Exits with 1 if any is left. At the end it says how many \
            rows of each table belong to no user; they are not differences.
            """)

    /// Differences that are printed without --all.
    private static let shownDifferences = 20

    @OptionGroup var database: MigrateCommand.Database
    @Option(help: "Only this user's data.")
    var user: String?
    @Option(help: "Only this business table (schema.table).", transform: TableName.init(argument:))
    var table: TableName?
    @Flag(help: "Print every difference, not only the first \(shownDifferences).")
    var all = false
    @Flag(help: "Repair differences that have one clear answer; the devices get the result.")
    var repair = false
    @Flag(help: "With --repair: delete rows on devices that are gone from their business table.")
    var acceptDeletes = false
    @OptionGroup var output: OutputOptions

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

    /// - Returns: how many differences are left, and how many were repaired.
    private func verify(
        _ reading: PostgresConnection, _ writing: PostgresConnection
    ) async throws -> (left: Int64, mended: Int64) {
        let repairing = Repair(connection: writing, acceptsDeletes: acceptDeletes)
        var kinds: [Difference.Kind: Int] = [:]
        var mended: Int64 = 0
        // By table, how many are left.
        var open: [TableName: Int64] = [:]
        let uncaptured = try await UncapturedWrites.see(of: table, on: writing)
        var listing = Listing(limit: all ? .max : Self.shownDifferences, isJSON: output.json)
        defer { listing.progress.end() }
        let summary = try await Verifier(connection: reading, user: user, table: table)
            .run { differences in
                for difference in differences {
                    kinds[difference.kind, default: 0] += 1
                    listing.show(difference)
                }
                fflush(nil)
                for (table, rows) in Dictionary(grouping: differences, by: \.table) {
                    let count = repair ? try await repairing.mend(rows) : 0
                    mended += count
                    if let table { open[table, default: 0] += Int64(rows.count) - count }
                }
            }
        let left = summary.differences - mended
        if user == nil {
            try await uncaptured.remove(
                exceptOf: Set(open.filter { $0.value > 0 }.keys), on: writing)
        }
        if output.json {
            print(Self.document(summary, kinds, mended).text)
        } else {
            listing.end()
            print(text(summary, kinds, mended))
        }
        return (left, mended)
    }

    private func text(
        _ summary: Verifier.Summary, _ kinds: [Difference.Kind: Int], _ mended: Int64
    ) -> String {
        let left = summary.differences - mended
        var lines = [
            """
            \(summary.users) users, \(summary.changes) changes, \(summary.rows) rows: \
            \(summary.differences) differences\(repair ? ", \(mended) mended, \(left) left" : "")
            """
        ]
        lines += summary.rowsOfNobody.map { "  \($0)" }
        if left > 0 {
            lines += kinds.sorted { $0.key.rawValue < $1.key.rawValue }.map {
                "  \($1) \($0.rawValue): \($0.advice)"
            }
        }
        return lines.joined(separator: "\n")
    }

    private static func document(
        _ summary: Verifier.Summary, _ kinds: [Difference.Kind: Int], _ mended: Int64
    ) -> JSONDocument {
        [
            "users": .integer(summary.users), "changes": .integer(summary.changes),
            "rows": .integer(summary.rows), "differences": .integer(summary.differences),
            "mended": .integer(mended), "left": .integer(summary.differences - mended),
            "kinds": .object(
                kinds.sorted { $0.key.rawValue < $1.key.rawValue }.map {
                    (name: $0.key.rawValue, value: .integer(Int64($0.value)))
                }),
            "rows_of_nobody": .array(
                summary.rowsOfNobody.map {
                    ["table": .string("\($0.table)"), "rows": .integer($0.count)]
                }),
        ]
    }

    /// Prints differences up to a number, and says how many more there are.
    private struct Listing {
        let limit: Int
        let isJSON: Bool
        var progress = ProgressLine()
        private var count = 0

        init(limit: Int, isJSON: Bool) { (self.limit, self.isJSON) = (limit, isJSON) }

        mutating func show(_ difference: Difference) {
            count += 1
            guard count <= limit else { return progress.show(Int64(count), "differences") }
            print(isJSON ? document(difference).text : "\(difference)")
        }

        mutating func end() {
            progress.end()
            if count > limit { print("… and \(count - limit) more: --all prints them") }
        }

        private func document(_ difference: Difference) -> JSONDocument {
            [
                "kind": .string(difference.kind.rawValue), "user": .string(difference.user),
                "table": difference.table.map { .string("\($0)") },
                "key": difference.key.map { .string($0.text) },
                "detail": .string(difference.detail),
            ]
        }
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
