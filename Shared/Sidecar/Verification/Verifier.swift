import Model
import Postgres

/// Proves that log, row states and business tables say the same (`oversync verify`).
///
/// It reads one snapshot, whatever is written meanwhile, and hands on each difference as it is found.
package struct Verifier {
    /// Differences fetched at once.
    private static let batchRows = 1000

    /// Memory that PostgreSQL may use for each sort or hash of a check.
    private static let workMegabytes = 64

    /// What was looked at.
    package struct Summary: Hashable, Sendable {
        package internal(set) var users: Int64 = 0
        package internal(set) var changes: Int64 = 0
        package internal(set) var rows: Int64 = 0
        package internal(set) var differences: Int64 = 0
        /// Rows that are no user's, where there are any: no difference, but no device gets them. Not counted when
        /// only one user's data is looked at.
        package internal(set) var rowsOfNobody: [RowsOfNobody] = []
    }

    /// Nothing was looked at: there is no such user or registered table.
    package struct UnknownName: Error, CustomStringConvertible {
        let text: String
        package var description: String { "there is no \(text) here" }
    }

    private let connection: PostgresConnection
    private let user: String?
    private let table: TableName?

    /// - Parameters:
    ///   - user: only this one's data; nil: everybody's.
    ///   - table: only this business table; nil: all of them, and the log itself.
    package init(connection: PostgresConnection, user: String? = nil, table: TableName? = nil) {
        self.connection = connection
        self.user = user
        self.table = table
    }

    /// - Parameter each: gets every difference, in batches; what it throws ends the verification.
    package func run(each: ([Difference]) async throws -> Void) async throws -> Summary {
        try await Statistics.make(on: connection)
        // Everything is compared with everything: a nested loop, which a table without statistics may be
        // given, would take quadratic time.
        try await connection.execute(
            script: """
                BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
                SET LOCAL statement_timeout = 0; SET LOCAL jit = off; SET LOCAL enable_nestloop = off;
                SET LOCAL work_mem = '\(Self.workMegabytes)MB'; \(RenderingSettings.local)
                """)
        do {
            let summary = try await check(each)
            try await connection.execute(script: "COMMIT")
            return summary
        } catch {
            try? await connection.execute(script: "ROLLBACK")
            throw error
        }
    }

    private func check(_ each: ([Difference]) async throws -> Void) async throws -> Summary {
        var userBinding = Bindings()
        userBinding.bind(user ?? "")
        try await connection.run(Command(LogChecks.setUser, userBinding))
        let catalog = Catalog(tables: try await Catalog.readTables(on: connection))
        if let table, catalog[table] == nil { throw UnknownName(text: "table \(table)") }
        var summary = try await connection.run(LogChecks.ReadTotals()).one()
        if let user, summary.users == 0 { throw UnknownName(text: "user \(user)") }
        let flaws = try await CaptureInstallation.flaws(catalog.tables, on: connection).filter {
            table == nil || $0.table == table
        }
        summary.differences += Int64(flaws.count)
        if !flaws.isEmpty { try await each(flaws) }
        for query in table == nil ? LogChecks.all : [] {
            summary.differences += try await report(query, catalog, each)
        }
        for registered in catalog.tables
        where registered.mode == .table && (table == nil || registered.name == table) {
            if let absent = Difference(absentPartOf: registered) {
                summary.differences += 1
                try await each([absent])
            } else {
                summary.differences += try await compare(registered, catalog, each)
                if user == nil, try await HiddenRows(of: registered, on: connection) == nil,
                    let rows = try await RowsOfNobody(of: registered, on: connection)
                {
                    summary.rowsOfNobody.append(rows)
                }
            }
        }
        return summary
    }

    /// A business table. A column whose values cannot be compared, because older ones do not fit it
    /// any more or its type has no equality, keeps itself from being compared, and no other.
    private func compare(
        _ table: RegisteredTable, _ catalog: Catalog, _ each: ([Difference]) async throws -> Void
    ) async throws -> Int64 {
        if let hidden = try await HiddenRows(of: table, on: connection) {
            try await each([Difference(notCompared: table.name, hidden.description)])
            return 1
        }
        var told: Set<Int> = []
        var count: Int64 = 0
        let comparison = BusinessComparison(table: table)
        let trouble = try await attempt {
            _ = try await report(comparison.query, catalog) {
                told.formUnion($0.map(\.hashOfRow))
                count += Int64($0.count)
                try await each($0)
            }
        }
        if trouble == nil { return count }
        let (rest, problems) = try await ColumnTrouble(comparison: comparison).look { query in
            try await attempt { _ = try await connection.run(Command(query)) }
        }
        if !problems.isEmpty { try await each(problems) }
        count += Int64(problems.count)
        let left = try await attempt {
            _ = try await report(rest.query, catalog) { differences in
                let news = differences.filter { told.insert($0.hashOfRow).inserted }
                count += Int64(news.count)
                if !news.isEmpty { try await each(news) }
            }
        }
        guard let left else { return count }
        try await each([Difference(notCompared: table.name, left)])
        return count + 1
    }

    /// Runs `body`, and takes back what it did in the transaction if values or their types are its
    /// trouble.
    ///
    /// - Returns: what PostgreSQL says is wrong; nil if nothing is.
    private func attempt(_ body: () async throws -> Void) async throws -> String? {
        try await connection.execute(script: "SAVEPOINT comparison")
        do {
            try await body()
            try await connection.execute(script: "RELEASE SAVEPOINT comparison")
            return nil
        } catch let error as PostgresError {
            guard let server = error.serverError, server.sqlState.isTroubleOfValues else {
                throw error
            }
            try await connection.execute(
                script: "ROLLBACK TO SAVEPOINT comparison; RELEASE SAVEPOINT comparison")
            return server.message
        }
    }

    /// Hands on what a query finds, from a cursor, so that memory does not grow with the trouble.
    private func report(
        _ query: String, _ catalog: Catalog, _ each: ([Difference]) async throws -> Void
    ) async throws -> Int64 {
        var count: Int64 = 0
        try await connection.execute(
            script: "DECLARE differences NO SCROLL CURSOR FOR \(query)")
        while true {
            let rows = try await connection.run(FetchDifferences())
            if rows.isEmpty { break }
            count += Int64(rows.count)
            try await each(try rows.all().map { try difference($0, catalog) })
        }
        try await connection.execute(script: "CLOSE differences")
        return count
    }

    /// The next rows of the cursor: every check's query has these columns.
    private struct FetchDifferences: TypedStatement {
        static let statement = Statement(
            name: "verify_fetch", sql: "FETCH \(batchRows) FROM differences")

        struct Row {
            let user: String?
            let table: TableID?
            let key: [UInt8]?
            let kind: String
            let detail: String?
            let sequence: Sequence64
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                user: try columns.next(String?.self), table: try columns.next(Int16?.self),
                key: try columns.next([UInt8]?.self), kind: try columns.next(String.self),
                detail: try columns.next(String?.self), sequence: try columns.next(Int64.self))
        }
    }

    private func difference(
        _ row: FetchDifferences.Row, _ catalog: Catalog
    ) throws(PostgresError) -> Difference {
        guard let kind = Difference.Kind(rawValue: row.kind) else {
            throw PostgresError(.decoding("an unknown kind of difference: \(row.kind)"))
        }
        let table = row.table.flatMap(catalog.identity)
        return Difference(
            kind: kind, user: row.user ?? "", table: table?.name,
            key: table.flatMap { table in
                row.key?.withUnsafeBufferPointer { RowKey(stored: $0, kind: table.keyKind) }
            },
            detail: row.detail ?? "", sequence: row.sequence)
    }
}

extension SQLState {
    /// A value, its type or a function that converts it is the trouble, and not the moment or a
    /// missing right.
    fileprivate var isTroubleOfValues: Bool {
        if isDataTrouble { return true }
        switch errorClass {
        case "0A", "42", "54": return self != .insufficientPrivilege
        default: return false
        }
    }
}

extension Difference {
    /// Tells one row from another.
    fileprivate var hashOfRow: Int {
        var hasher = Hasher()
        hasher.combine(user)
        hasher.combine(key)
        return hasher.finalize()
    }

    fileprivate init(notCompared table: TableName, _ detail: String) {
        self.init(
            kind: .notCompared, user: "", table: table, key: nil, detail: detail, sequence: 0)
    }

    /// What keeps a registered table from being compared at all: it, its key or its owner column was renamed
    /// or dropped. Nil if all are there.
    fileprivate init?(absentPartOf table: RegisteredTable) {
        let needed = [table.keyColumn] + (table.ownerColumn.map { [$0] } ?? [])
        let absent = needed.first { name in !table.columns.contains { $0.name == name } }
        guard let absent else { return nil }
        self.init(
            kind: .notThere, user: "", table: table.name, key: nil,
            detail: table.columns.isEmpty ? "" : "column=\(absent)", sequence: 0)
    }
}
