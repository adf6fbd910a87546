import Logging
import Model
import Postgres
import ServiceLifecycle
import Synchronization

/// The catalog of a service process, read again every few seconds so that a registered table or a new
/// column needs no restart.
package final class CatalogSource: Service {
    /// How long a change of the registered tables or their columns may stay unseen.
    package static let refreshInterval: Duration = .seconds(5)

    private let pool: PostgresPool
    private let logger: Logger
    private let current = Mutex<Catalog?>(nil)

    package init(pool: PostgresPool, logger: Logger) {
        self.pool = pool
        self.logger = logger
    }

    /// The catalog as last read; read now if it never was.
    package func catalog() async throws -> Catalog {
        if let catalog = current.withLock({ $0 }) { return catalog }
        return try await refresh()
    }

    package func run() async throws {
        await cancelWhenGracefulShutdown {
            while !Task.isCancelled {
                do {
                    _ = try await self.refresh()
                } catch  where !Task.isCancelled {
                    self.logger.warning(
                        "the catalog could not be read; keeping the last one",
                        metadata: ["error": "\(error)"])
                } catch {
                    return
                }
                // Ends early on cancellation, and so does the loop.
                try? await Task.sleep(for: Self.refreshInterval)
            }
        }
    }

    @discardableResult
    package func refresh() async throws -> Catalog {
        let (tables, defers) = try await pool.withConnection { connection in
            (
                try await Catalog.readTables(on: connection),
                try await Catalog.readHasDeferrableConstraints(on: connection)
            )
        }
        return current.withLock { current in
            if let current, current.isMade(of: tables), current.hasDeferrableConstraints == defers {
                return current
            }
            let fresh = Catalog(
                tables: tables, hasDeferrableConstraints: defers,
                generation: (current?.generation ?? 0) + 1)
            current = fresh
            return fresh
        }
    }
}

extension Catalog {
    /// Reads the registered tables and what PostgreSQL knows of them.
    package static func readTables(
        on connection: PostgresConnection
    ) async throws(PostgresError) -> [RegisteredTable] {
        let rows = try await connection.run(Command(SidecarStatements.registeredTables))
        var names: [TableName] = []
        for row in 0..<rows.rowCount {
            names.append(TableName(schema: try rows.string(row, 1), table: try rows.string(row, 2)))
        }
        let facts = try await Introspection.read(names, on: connection)
        var tables: [RegisteredTable] = []
        for (row, name) in names.enumerated() {
            let key = try rows.string(row, 4)
            let owner = try rows.optionalString(row, 6)
            let mode = TableMode(rawValue: try rows.string(row, 5)) ?? .sidecar
            let isTable = mode == .table
            tables.append(
                RegisteredTable(
                    id: try rows.int16(row, 0), name: name,
                    keyKind: KeyKind(rawValue: try rows.string(row, 3)) ?? .uuid, keyColumn: key,
                    mode: mode,
                    ownerColumn: owner, columns: isTable ? facts.columns[name] ?? [] : [],
                    foreignKeys: isTable ? facts.foreignKeys[name] ?? [] : [],
                    keyIndexColumns: facts.keyIndex(of: name, key: key, owner: owner) ?? [key],
                    isRemoved: try rows.bool(row, 7),
                    access: TableAccess(
                        readRoles: roles(try rows.optionalString(row, 8)),
                        writeRoles: roles(try rows.optionalString(row, 9)))))
        }
        return tables
    }

    /// See ``hasDeferrableConstraints``.
    package static func readHasDeferrableConstraints(
        on connection: PostgresConnection
    ) async throws(PostgresError) -> Bool {
        try await connection.run(Command(SidecarStatements.hasDeferrableConstraints)).bool(0, 0)
    }

    /// The names of roles have no comma in them.
    private static func roles(_ joined: String?) -> Set<String>? {
        joined.map { Set($0.split(separator: ",").map(String.init)) }
    }
}
