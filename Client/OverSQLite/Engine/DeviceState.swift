import Foundation
import GRDB

/// The device's one row of state.
struct DeviceState: Hashable, Sendable {
    var userID: String?
    /// The name under which the server knows this device's changes.
    var sourceID: String
    var cursor: Int64
    var window: Int64
    var isHydrated: Bool
    var nextChangeID: Int64
    /// The server's history that all this belongs to; nil until it was asked for.
    var epoch: String?
    /// Why the feed is being read again; nil if it is not.
    var reread: RereadReason?

    static func read(_ db: Database) throws -> DeviceState {
        guard let row = try Row.fetchOne(db, sql: "SELECT * FROM _sync_state") else {
            throw DatabaseError(resultCode: .SQLITE_CORRUPT, message: "_sync_state has no row")
        }
        return DeviceState(
            userID: row["user_id"], sourceID: row["source_id"] ?? "", cursor: row["cursor"],
            window: row["window"], isHydrated: row["hydrated"],
            nextChangeID: row["next_change_id"], epoch: row["epoch"],
            reread: (row["reread"] as String?).flatMap(RereadReason.init(rawValue:)))
    }

    /// Names the device once, at its first start.
    static func ensureSource(_ db: Database) throws {
        try db.execute(
            sql: "UPDATE _sync_state SET source_id = ? WHERE source_id IS NULL",
            arguments: [UUID().uuidString.lowercased()])
    }

    /// Binds the database to the token's user and takes its name for this device.
    ///
    /// Rows made before anybody signed in go to the first user who does (hazard H7).
    static func bind(_ db: Database, to claims: TokenClaims) throws {
        let state = try read(db)
        if let user = claims.user, let owner = state.userID, user != owner {
            throw SyncError.differentUser(owner: owner, other: user)
        }
        try db.execute(
            sql:
                "UPDATE _sync_state SET user_id = coalesce(?, user_id), source_id = coalesce(?, source_id)",
            arguments: [claims.user, claims.device])
    }

    /// Goes on where the server knows this device to be: with change ids that it has not seen, and with the
    /// device's own rows read back from here on.
    static func goOn(_ db: Database, from standing: Standing) throws {
        try db.execute(
            sql: """
                UPDATE _sync_state SET next_change_id = max(next_change_id, ?), window = 0, hydrated = 0,
                  epoch = ?
                """, arguments: [standing.nextChangeID, standing.epoch])
    }

    /// Moves the cursor over applied pages; only ever forward, and only here (hazard C6).
    static func advance(_ db: Database, over page: DownloadPage, highestOwnChange: Int64) throws {
        try db.execute(
            sql: """
                UPDATE _sync_state SET cursor = max(cursor, ?), window = ?,
                  hydrated = max(hydrated, ?), next_change_id = max(next_change_id, ?)
                """,
            arguments: [
                page.nextAfter, page.hasMore ? page.windowUntil : 0, !page.hasMore,
                highestOwnChange &+ 1,
            ])
    }
}
