@testable import DownloadService
import Foundation
import Model
import NIOCore
import Postgres
import Protos
import RPC
import Sidecar
import Testing
@testable import UploadService

/// What devices say and hear about histories, and a database that can go back.
extension SyncedDatabase {
    /// Keeps everything as it is now, for ``goBack()``.
    func back() async throws {
        try await execute(
            """
            DROP SCHEMA IF EXISTS kept CASCADE;
            CREATE SCHEMA kept;
            \(Self.returning.map { "CREATE TABLE kept.\($0.kept) AS TABLE \($0.table);" }
                .joined(separator: "\n"))
            """)
    }

    /// Puts everything back as it was, as a restore does and a standby that lacked the rest.
    /// Uploads and downloads find the same scopes.
    func goBack() async throws { try await execute("BEGIN; \(Self.goingBack)") }

    /// The same in a transaction that is open, which holds locks, and commits it.
    func goBack(on connection: PostgresConnection) async throws {
        try await connection.execute(script: Self.goingBack)
    }

    private static let goingBack = """
        SET LOCAL session_replication_role = replica;
        \(returning.map {
            """
            DELETE FROM \($0.table);
            INSERT INTO \($0.table) OVERRIDING SYSTEM VALUE SELECT * FROM kept.\($0.kept);
            """
        }.joined(separator: "\n"))
        COMMIT;
        """

    /// What a restore into the same server does: a copy takes the database's place.
    func putCopyInPlace() async throws {
        var configuration = try PostgresConfiguration(url: url)
        let name = try #require(configuration.keywords["dbname"])
        configuration.keywords["dbname"] = "postgres"
        let other = try await PostgresConnection.connect(configuration, logger: Self.logger)
        defer { other.close() }
        for script in [
            "ALTER DATABASE \(name) ALLOW_CONNECTIONS false",
            """
            SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '\(name)'
            """,
            "CREATE DATABASE \(name)_copy TEMPLATE \(name)", "DROP DATABASE \(name)",
            "ALTER DATABASE \(name)_copy RENAME TO \(name)",
        ] {
            try await other.execute(script: script)
        }
    }

    private static let returning = [
        "sync.scope", "sync.source", "sync.change_log", "sync.row_state", "sync.key_owner",
        "s.notes", "s.items", "s.links", "s.tags", "s.prefs",
    ].map { (table: $0, kept: $0.replacingOccurrences(of: ".", with: "_")) }

    /// The pair of the change at a sequence of ann's log, as SQL computes it.
    func pair(_ sequence: Int) async throws -> HistoryPair? {
        let tag = try await value(
            """
            SELECT sync.change_tag(seq, op, version, source_change_id, content_hash, ts, key)::text
            FROM sync.change_log JOIN sync.scope USING (scope_id)
            WHERE user_id = 'ann' AND seq = \(sequence)
            """)
        return tag.flatMap { Int64($0) }.map {
            HistoryPair(sequence: Int64(sequence), tag: UInt64(bitPattern: $0))
        }
    }

    /// The last sequence of ann's log.
    func head() async throws -> Int {
        Int(try await value("SELECT last_seq::text FROM sync.scope WHERE user_id = 'ann'") ?? "")
            ?? 0
    }

    func epoch() async throws -> String {
        try await value("SELECT epoch::text FROM sync.meta") ?? ""
    }

    /// Uploads as a device that knows the epoch, and a pair.
    @discardableResult
    func upload(
        _ pair: HistoryPair?, device: String = "phone", atomic: Bool = false, _ changes: String...
    ) async throws -> UploadResult {
        let epoch = try await epoch()
        return try await executor.upload(
            ByteBuffer(string: #"{"changes":[\#(changes.joined(separator: ","))]}"#),
            from: CallerIdentity(user: "ann", device: device, roles: []),
            UploadOptions(isAtomic: atomic, epoch: epoch, pair: pair),
            deadline: .now + .seconds(30)
        ).result
    }

    /// Downloads as such a device; what its answer tells.
    func pull(
        _ pair: HistoryPair?, device: String = "reader", after: Int = 0, until: Int = 0,
        limit: Int32 = 1000, epoch: String? = nil
    ) async throws -> (rows: UInt32, pair: HistoryPair?) {
        let known = try await self.epoch()
        let reply = try await pull("ann", device: device) { request in
            request.after = Int64(after)
            request.until = Int64(until)
            request.limit = limit
            request.epoch = epoch ?? known
            request.historySeq = pair?.sequence ?? 0
            request.historyTag = pair?.tag ?? 0
        }.message
        return (reply.rows, HistoryPair(told: reply.historySeq, reply.historyTag))
    }

    /// The code with which an exchange is refused; `served` if it is not.
    func code(_ exchange: () async throws -> Void) async -> String {
        do {
            try await exchange()
            return "served"
        } catch {
            return (error as? RPCFailure)?.code ?? "\(error)"
        }
    }

    /// What a device with this pair hears from a page, an upload and bootstrap. The upload would
    /// write a note.
    func verdicts(_ pair: HistoryPair, after: Int = 0) async throws -> [String] {
        let page = await code { _ = try await pull(pair, after: after) }
        let before = try await value("SELECT count(*)::text FROM sync.change_log")
        let pushed = await code {
            try await upload(
                pair, device: "tablet", change(900, "DELETE", "notes", id("none")))
        }
        let left = try await value("SELECT count(*)::text FROM sync.change_log")
        let standing = try await ReadBootstrap(pool: downloadPool).read(
            UserID("ann"), DeviceID("reader"), .now + .seconds(30), pair: pair)
        return [page, pushed + (before == left ? "" : ", written"), standing.history]
    }
}

/// A note of the given number.
func noteChange(_ number: Int, base: Int = 0, key: String? = nil, _ title: String = "a") -> String {
    change(
        number, base == 0 ? "INSERT" : "UPDATE", "notes", id(key ?? "\(number)"), base: base,
        #"{"title":"\#(title)"}"#)
}
