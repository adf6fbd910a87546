import DatabaseKit
import Postgres
import ServiceKit
import Sidecar

/// What maintenance reads. It runs in an Upload that has a connection string for it.
struct MaintenanceSettings: Sendable {
    static let url = Setting.secret(
        "OVERSYNC_MAINTENANCE_DATABASE_URL",
        "PostgreSQL connection string of the maintenance role: turns maintenance on")
    static let password = Setting.secret(
        "OVERSYNC_MAINTENANCE_DATABASE_PASSWORD",
        "password of that role; it overrides the connection string's")
    static let everyHours = Setting.integer(
        "OVERSYNC_MAINTENANCE_EVERY_HOURS", "time from one run of maintenance to the next",
        default: 24, in: 1...720, unit: "hours")
    static let fromHour = Setting.integer(
        "OVERSYNC_MAINTENANCE_FROM_HOUR", "hour of the day, in UTC, from which these hours count",
        default: 3, in: 0...23)
    static let pause = Setting.integer(
        "OVERSYNC_MAINTENANCE_PAUSE_MS", "pause between two transactions of maintenance",
        default: 50, in: 0...60_000, unit: "ms")
    static let supersededDays = Setting.integer(
        "OVERSYNC_KEEP_REPLACED_DAYS", "how long changes that newer ones have replaced are kept",
        default: 30, in: dayBounds, unit: "days")
    static let tombstoneDays = Setting.integer(
        "OVERSYNC_KEEP_DELETES_DAYS", "how long deletes are kept", default: 90, in: dayBounds,
        unit: "days")
    static let failureDays = Setting.integer(
        "OVERSYNC_KEEP_FAILURES_DAYS",
        "how long changes that tables have refused are kept; unset keeps them", in: dayBounds,
        unit: "days")
    static let auditDays = Setting.integer(
        "OVERSYNC_KEEP_AUDIT_DAYS", "how long the audit is kept; unset keeps it",
        in: AuditLog.minimumDays...dayBounds.upperBound, unit: "days")
    static let verifiedUsers = Setting.integer(
        "OVERSYNC_MAINTENANCE_VERIFY_USERS", "users whose data a run verifies, others each time",
        default: 10, in: 0...100_000)

    static let all: [any DescribedSetting] = [
        url, password, everyHours, fromHour, pause, supersededDays, tombstoneDays, failureDays,
        auditDays, verifiedUsers,
    ]

    private static let dayBounds = 1...36_500
    private static let secondsPerDay: Int64 = 86_400

    let pace: JobPace
    let retention: Retention
    /// In seconds; nil keeps the audit.
    let auditAge: Int64?
    let pause: Duration
    let users: Int

    init(_ configuration: Configuration) throws(ConfigurationError) {
        pace = JobPace(
            everyHours: try configuration.value(Self.everyHours),
            fromHour: try configuration.value(Self.fromHour))
        let superseded = try configuration.value(Self.supersededDays)
        let tombstones = try configuration.value(Self.tombstoneDays)
        guard tombstones >= superseded else {
            throw ConfigurationError(
                key: Self.tombstoneDays.key,
                reason: "is \(tombstones), less than \(Self.supersededDays.key) (\(superseded)): "
                    + "a delete outlives what it deletes")
        }
        let failures = try configuration.optional(Self.failureDays)
        retention = Retention(
            superseded: Self.seconds(superseded), tombstones: Self.seconds(tombstones),
            failures: failures.map(Self.seconds))
        auditAge = try configuration.optional(Self.auditDays).map(Self.seconds)
        pause = .milliseconds(try configuration.value(Self.pause))
        users = try configuration.value(Self.verifiedUsers)
    }

    private static func seconds(_ days: Int) -> Int64 { Int64(days) * secondsPerDay }

    /// What is wrong with the settings together. Connects nowhere.
    static func problems(in configuration: Configuration) -> [ConfigurationError] {
        guard configuration.isSet(url.key) else {
            let given = all.first { configuration.isSet($0.key) }
            return given.map {
                [
                    ConfigurationError(
                        key: $0.key, reason: "does nothing while \(url.key) is not set")
                ]
            } ?? []
        }
        do throws(ConfigurationError) {
            _ = try MaintenanceSettings(configuration)
            return DatabaseSettings.problems(of: url, in: configuration)
        } catch {
            return [error]
        }
    }
}
