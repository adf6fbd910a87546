import Postgres

/// One numbered step of the database's layout. Steps are only ever added.
package struct Migration: Sendable {
    package let version: Int
    package let name: String
    package let sql: String

    /// All steps, oldest first.
    package static let all: [Migration] = [
        Migration(1, "0001_sidecar", PackageResources._001_sidecar_sql),
        Migration(2, "0002_auth", PackageResources._002_auth_sql),
        Migration(3, "0003_capture", PackageResources._003_capture_sql),
        Migration(4, "0004_access", PackageResources._004_access_sql),
        Migration(5, "0005_compaction", PackageResources._005_compaction_sql),
        Migration(6, "0006_columns", PackageResources._006_columns_sql),
        Migration(7, "0007_refusals", PackageResources._007_refusals_sql),
        Migration(8, "0008_unseen_columns", PackageResources._008_unseen_columns_sql),
        Migration(9, "0009_capture_plans", PackageResources._009_capture_plans_sql),
        Migration(10, "0010_roles", PackageResources._010_roles_sql),
        Migration(11, "0011_views_and_columns", PackageResources._011_views_and_columns_sql),
        Migration(
            12, "0012_policies_and_histories", PackageResources._012_policies_and_histories_sql),
        Migration(13, "0013_rights_and_records", PackageResources._013_rights_and_records_sql),
        Migration(14, "0014_upkeep", PackageResources._014_upkeep_sql),
        Migration(15, "0015_device_reports", PackageResources._015_device_reports_sql),
        Migration(16, "0016_health", PackageResources._016_health_sql),
        Migration(17, "0017_integer_keys", PackageResources._017_integer_keys_sql),
        Migration(18, "0018_key_leases", PackageResources._018_key_leases_sql),
    ]

    /// The layout that this program reads and writes.
    package static var currentVersion: Int { all.last?.version ?? 0 }

    private init(_ version: Int, _ name: String, _ sql: [UInt8]) {
        self.version = version
        self.name = name
        self.sql = String(decoding: sql, as: UTF8.self)
    }

    /// The step, and the record of it.
    fileprivate var script: String {
        """
        \(sql)
        UPDATE sync.meta SET layout_version = \(version);
        """
    }
}

/// Brings a database to the current layout.
package struct Migrator: Sendable {
    /// Any number that is the same for every Oversync migrator: one at a time per database.
    private static let lockKey: Int64 = 0x6F76_7273_796E_63

    /// Waits for others that change the layout, the registered tables or the roles.
    static let lock = "SELECT pg_advisory_xact_lock(\(lockKey));"

    private let run: MigrationRun
    private var connection: PostgresConnection { run.connection }

    package init(connection: PostgresConnection) {
        self.init(in: MigrationRun(on: connection))
    }

    package init(in run: MigrationRun) {
        self.run = run
    }

    /// What a database has and what it lacks.
    package struct Status: Hashable, Sendable {
        /// 0 for a database without the sidecar.
        package let version: Int
        package let pending: [String]
        /// The database is one layout ahead: the services of this program work with it, and there
        /// is nothing to apply.
        package var isOneAhead: Bool { version == Migration.currentVersion + 1 }
    }

    package func status() async throws(PostgresError) -> Status {
        let version = try await installedVersion()
        return Status(
            version: version, pending: Migration.all.filter { $0.version > version }.map(\.name))
    }

    /// Applies each missing step in a transaction of its own, under a lock that other migrators wait for.
    ///
    /// - Returns: the names of the steps applied.
    /// - Throws: `LayoutError` for a database of a newer program; `PostgresError`.
    package func migrate() async throws -> [String] {
        let installed = try await installedVersion()
        guard installed <= Migration.currentVersion else {
            throw LayoutError(installed: installed)
        }
        var applied: [String] = []
        for migration in Migration.all where migration.version > installed {
            try await run.transaction {
                // Another migrator may have been faster.
                if try await installedVersion() >= migration.version { return }
                try await run.execute(
                    migration.script,
                    for:
                        "Layout \(migration.version) of \(Migration.currentVersion): "
                        + migration.name
                )
                applied.append(migration.name)
            }
        }
        return applied
    }

    private func installedVersion() async throws(PostgresError) -> Int {
        let exists = try await connection.rows(SidecarStatements.metaExists, of: Bool.self).one()
        guard exists else { return 0 }
        let version = try await connection.rows(SidecarStatements.layoutVersion, of: Int64.self)
        return Int(try version.one())
    }
}

/// A database whose layout this program does not know.
package struct LayoutError: Error, Hashable, Sendable, CustomStringConvertible {
    let installed: Int

    package var description: String {
        "the database has layout \(installed), newer than this program's \(Migration.currentVersion): "
            + "use the program that made it, or a later one"
    }
}
