import DatabaseKit
import Postgres
import ServiceKit
import Telemetry

/// How long an upload's transaction may take at each of its waits.
struct UploadTimeouts: Sendable {
    static let statementSetting = DatabaseSettings.upload.statementTimeout
    static let scopeLockSetting = Setting.integer(
        "OVERSYNC_UPLOAD_LOCK_TIMEOUT_MS", "longest wait for the user's other uploads",
        default: 3000,
        in: 10...60_000, unit: "ms")
    static let businessLockSetting = Setting.integer(
        "OVERSYNC_UPLOAD_ROW_LOCK_TIMEOUT_MS",
        "longest wait for rows that plain SQL holds; keep it below PostgreSQL's deadlock_timeout",
        default: 300, in: 10...60_000, unit: "ms")
    static let idleSetting = Setting.integer(
        "OVERSYNC_UPLOAD_IDLE_TIMEOUT_MS",
        "longest pause inside a transaction before PostgreSQL ends it",
        default: 10_000, in: 100...600_000, unit: "ms")

    /// Those that no other service has too.
    static let all: [any DescribedSetting] = [scopeLockSetting, businessLockSetting, idleSetting]

    /// All in milliseconds.
    let statement: Int
    let scopeLock: Int
    let businessLock: Int
    let idle: Int

    init(_ configuration: Configuration) throws(ConfigurationError) {
        statement = try configuration.value(Self.statementSetting)
        scopeLock = try configuration.value(Self.scopeLockSetting)
        businessLock = try configuration.value(Self.businessLockSetting)
        idle = try configuration.value(Self.idleSetting)
    }

    /// PostgreSQL waits without an end for 0, and an upload whose turn came late has a chance.
    private static let leastLockMilliseconds = 10

    /// For `UploadStatements.configure`.
    ///
    /// - Parameter scopeLock: what is left of the wait for the user's other uploads.
    func bindings(scopeLock: Duration) -> Bindings {
        var bindings = Bindings()
        bindings.bind("\(statement)")
        bindings.bind("\(max(Self.leastLockMilliseconds, scopeLock.milliseconds))")
        bindings.bind("\(idle)")
        return bindings
    }
}
