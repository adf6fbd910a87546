@testable import DownloadService
import Foundation
import Model
import Postgres
import Sidecar
import Testing
@testable import UploadService

/// Everything that grows is found by its scope's number, which is a parameter: so PostgreSQL reads
/// one scope's part of an index, and would read one partition of tables that are split by it.
@Suite("Hot statements name their scope")
struct StatementPlanTests {
    /// Tables whose rows belong to scopes.
    private static let scoped: Set = [
        "scope", "source", "hydration", "change_log", "row_state", "materialize_failures",
        "returned_table", "atomic_upload", "usage",
    ]

    /// Statements that find scopes by their users, or concern those of many.
    private static let exceptions = [
        // Where a user's scope is not remembered: once in the life of a process.
        FindScope.statement.name, UserScope.create.name,
        // Seldom: the first page of a device whose log lacks deletes.
        UploadStatements.noteHydration.name,
        // Seldom: a device that a header names for the first time.
        UserScope.lock.name, DeviceStatements.claim.name,
        DeviceStatements.ReadDeviceUse.statement.name,
        // Seldom: a device asks for the numbers of many rows at once.
        KeyLeaseStatements.ReadStanding.statement.name, KeyLeaseStatements.Lease.statement.name,
        // The users who are followed, together: one probe of an index each. By number it would be
        // a twentieth to a sixth faster, and a number that was issued again would go unnoticed.
        DownloadStatements.ReadHeads.statement.name, DownloadStatements.ReadGrown.statement.name,
        // Administrators'.
        OpenFailures.List.statement.name, FailureStatements.probe.name,
        FailureStatements.resolve.name,
        // For the metrics: how many of all users.
        MeasuringStatements.ReadBacklog.statement.name,
    ]

    private static let all =
        UploadStatements.all + DownloadStatements.all + FailureStatements.all

    @Test("Each reads its tables by scope_id = $1, whatever the tables' sizes")
    func plans() async throws {
        try await SyncedDatabase.with { database in
            try await database.upload("ann", change(1, "INSERT", "notes", id("a1"), "{}"))
            // Also of tables that are known to have one page.
            for preparation in ["", "ANALYZE;"] {
                try await database.execute(
                    "\(preparation) \(Self.settings) DISCARD PLANS;")
                for statement in Self.all where !Self.exceptions.contains(statement.name) {
                    for scan in try await Self.scans(of: statement, database)
                    where Self.scoped.contains(scan.table) {
                        #expect(
                            scan.condition.contains("(scope_id = $1)"),
                            "\(statement.name) reads \(scan.table) by \(scan.condition)")
                    }
                }
            }
        }
    }

    /// PostgreSQL writes what a sub-select answers as `$1` too, so that plans alone do not tell.
    @Test("None but the exceptions finds a scope by its user")
    func names() async throws {
        try await SyncedDatabase.with(tables: Victim.tables, registered: Victim.yaml) { database in
            let schema = UploadSchema(catalog: try await database.source.catalog())
            let business = BusinessStatements(schema)
            var all = Self.all.filter { !Self.exceptions.contains($0.name) }
            for index in schema.tables.indices {
                for kind in [MaterializeStatement.Kind.create, .update, .delete] {
                    for rows in [MaterializeStatement.Expectation.asRecorded, .anything] {
                        for form in [MaterializeStatement.Form.texts, .json] {
                            all.append(
                                business.rows(index, kind, ColumnSet(), as: form, expecting: rows))
                        }
                    }
                }
                if let keyUse = business.keyUse(index) { all.append(keyUse) }
                let comparisons = [
                    business.stored(
                        .init(table: index, .create, ColumnSet(), hasMore: true),
                        expecting: .anything),
                    business.stored(
                        .init(table: index, .update, ColumnSet()), expecting: .anything),
                    business.stored(
                        .init(table: index, .update, ColumnSet(), isOverruled: true),
                        expecting: .asRecorded),
                ]
                all += comparisons.compactMap { $0?.statement }
            }
            all += schema.foreignKeys.indices.map(business.parents)
            for statement in all {
                let bySubselect = statement.sql.firstMatch(of: /user_id\s*=/)
                #expect(bySubselect == nil, "\(statement.name)")
            }
            let found = Self.all.filter { $0.sql.contains(/user_id\s*=/) }
            #expect(!found.isEmpty)
        }
    }

    /// As the services' sessions are set.
    private static let settings = PostgresConfiguration.serviceSession
        .map { "SET \($0.key) = '\($0.value)';" }.joined(separator: " ")

    private struct Scan {
        let table: String
        /// Of the index.
        let condition: String
    }

    /// The parts of a statement's plan that read tables.
    private static func scans(
        of statement: Statement, _ database: SyncedDatabase
    ) async throws -> [Scan] {
        // Of what PostgreSQL plans.
        let verbs = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"]
        guard verbs.contains(where: statement.sql.hasPrefix) else { return [] }
        let name = "plan_\(statement.name)"
        let oids = statement.parameters.map { "\($0.rawValue)" }.joined(separator: ",")
        let types = try await database.value(
            """
            SELECT string_agg(format_type(o, NULL), ', ' ORDER BY n)
            FROM unnest('{\(oids)}'::oid[]) WITH ORDINALITY AS u(o, n)
            """)
        let list = statement.parameters.isEmpty ? "" : "(\(types ?? ""))"
        let values = statement.parameters.map { _ in "NULL" }.joined(separator: ", ")
        try await database.execute("PREPARE \(name)\(list) AS \(statement.sql)")
        let text = try await database.value(
            "EXPLAIN (FORMAT JSON) EXECUTE \(name)\(values.isEmpty ? "" : "(\(values))")")
        try await database.execute("DEALLOCATE \(name)")
        let json = try JSONSerialization.jsonObject(with: Data((text ?? "").utf8))
        let plan = try #require((json as? [[String: Any]])?.first?["Plan"] as? [String: Any])
        return scans(in: plan)
    }

    private static func scans(in node: [String: Any]) -> [Scan] {
        let type = node["Node Type"] as? String ?? ""
        let below = (node["Plans"] as? [[String: Any]] ?? []).flatMap(scans)
        guard let table = node["Relation Name"] as? String, type.hasSuffix("Scan") else {
            return below
        }
        // A bitmap of an index has the condition twice: the index's below, and here.
        let condition = node["Index Cond"] ?? node["Recheck Cond"]
        return [Scan(table: table, condition: condition as? String ?? "")] + below
    }
}
