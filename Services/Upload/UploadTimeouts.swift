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
    static let groupSetting = Setting.integer(
        "OVERSYNC_UPLOAD_GROUP_STATEMENT_MS",
        "longest statement of uploads that share a transaction, plus 0.25 ms for each change",
        default: 50, in: 10...5000, unit: "ms")
    private static let groupTimePerChange: Duration = .microseconds(250)

    /// Those that no other service has too.
    static let all: [any DescribedSetting] = [
        scopeLockSetting, businessLockSetting, idleSetting, groupSetting,
    ]

    /// All in milliseconds.
    let statement: Int
    let scopeLock: Int
    let businessLock: Int
    let idle: Int
    let groupStatement: Int

    init(_ configuration: Configuration) throws(ConfigurationError) {
        statement = try configuration.value(Self.statementSetting)
        scopeLock = try configuration.value(Self.scopeLockSetting)
        businessLock = try configuration.value(Self.businessLockSetting)
        idle = try configuration.value(Self.idleSetting)
        groupStatement = try configuration.value(Self.groupSetting)
    }

    /// How long each statement of a group may take. A group has several statements for each of its
    /// tables, and holds up its members by the time of all of them.
    func group(of changes: Int) -> Duration {
        .milliseconds(groupStatement) + Self.groupTimePerChange * changes
    }

    /// PostgreSQL takes 0 for no end, and an upload whose turn came late has a chance.
    private static let leastMilliseconds = 10

    /// The part of what is left of a request that its first statements may take: the rest is for
    /// finding the rows that are too slow.
    private static let firstShare = 2.0 / 3

    /// For `UploadStatements.configure`.
    ///
    /// - Parameters:
    ///   - scopeLock: what is left of the wait for the user's other uploads; nil for all of it.
    ///   - most: a shorter limit of this wait.
    ///   - left: until the request's deadline.
    func bindings(
        scopeLock: Duration?, atMost most: Duration? = nil, left: Duration
    ) -> Bindings {
        let least = Self.leastMilliseconds
        var bindings = Bindings()
        bindings.bind("\(max(least, min(statement, (left * Self.firstShare).milliseconds)))")
        let lock = min(scopeLock?.milliseconds ?? self.scopeLock, most?.milliseconds ?? .max)
        bindings.bind("\(max(least, lock))")
        bindings.bind("\(idle)")
        return bindings
    }
}
