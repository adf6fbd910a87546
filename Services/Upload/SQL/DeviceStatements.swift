import Model
import Postgres
import Sidecar

/// The statements that bind a device to the user who names it first. They find the scope by its
/// user: once for each device, as long as a gateway remembers it.
enum DeviceStatements {
    /// Only one transaction at a time looks at a device's name and takes it, even across users. A
    /// collision with another use of such locks costs a wait and nothing else.
    static let lockDevice = Statement(
        name: "upload_lock_device",
        sql: "SELECT pg_advisory_xact_lock(hashtextextended($1, \(lockSeed)))",
        parameters: [.text])

    /// Rows of a device of any user. The index has hashes, so that no statement that names the
    /// scope can use it by mistake: devices of many users may share a name.
    private static func named(_ table: String) -> String {
        "hashtextextended(\(table).device, 0) = hashtextextended($2, 0) AND \(table).device = $2"
    }

    /// Keeps these locks apart from those of others: the letters `oversync` as a number.
    private static let lockSeed: Int64 = 0x6F76_6572_7379_6E63

    /// Gives the user the device, unless somebody has it, or the user has as many as may be (`$3`,
    /// and by its quota `$4`).
    static let claim = Statement(
        name: "upload_claim_device",
        sql: """
            INSERT INTO sync.source (scope_id, source_no, device)
            SELECT s.scope_id, 1 + coalesce((
                SELECT d.source_no FROM sync.source d WHERE d.scope_id = s.scope_id
                ORDER BY d.scope_id DESC, d.source_no DESC LIMIT 1), 0), $2
            FROM sync.scope s
            WHERE s.user_id = $1 AND NOT EXISTS (SELECT FROM sync.source o WHERE \(named("o")))
                AND (SELECT count(*) FROM (
                    SELECT FROM sync.source e WHERE e.scope_id = s.scope_id LIMIT $3) few) < $3
                AND \(UploadStatements.CreateSource.hasRoom("s.scope_id", quota: "$4"))
            """,
        parameters: [.text, .text, .int8, .int8])

    /// Whose a device is: the user's, and else somebody's.
    struct ReadDeviceUse: TypedStatement {
        static let statement = Statement(
            name: "upload_read_device_use",
            sql: """
                SELECT EXISTS (
                    SELECT FROM sync.source d JOIN sync.scope s ON s.scope_id = d.scope_id
                    WHERE \(named("d")) AND s.user_id = $1),
                    EXISTS (SELECT FROM sync.source o WHERE \(named("o")))
                """,
            parameters: [.text, .text])

        let user: UserID
        let device: DeviceID

        func bind(to bindings: inout Bindings) {
            bindings.bind(user.value)
            bindings.bind(device.value)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> DeviceUse {
            let (isUsers, isTaken) = (try columns.next(Bool.self), try columns.next(Bool.self))
            return isUsers ? .users : isTaken ? .others : .nobodys
        }
    }

    static let all = [lockDevice, UserScope.lock, claim, ReadDeviceUse.statement]
}

/// Whose a device is that a user names.
enum DeviceUse: Hashable, Sendable {
    /// The user's own device: tokens with a `did` may give two users the same one.
    case users
    case others
    case nobodys
}
