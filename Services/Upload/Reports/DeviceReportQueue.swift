import Foundation
import LogFields
import Logging
import Model
import Postgres
import Protos
import RPC
import ServiceKit
import ServiceLifecycle
import Sidecar
import Synchronization
import Telemetry

/// What devices say of themselves, until it is written: the newest of each device, many devices in
/// one statement, apart from uploads. What does not fit, or cannot be written, is only counted:
/// devices say it again.
final class DeviceReportQueue: Service {
    /// Between two writes.
    static let interval: Duration = .seconds(2)
    /// Longest time of one write.
    static let writeLimit: Duration = .seconds(5)
    /// Devices that wait to be written.
    static let maximumDevices = 10_000
    /// Those of one user among them: the reports of one user never crowd out those of others.
    static let maximumDevicesPerUser = 250

    private let pool: PostgresPool
    private let logger: Logger
    private let reports: Counter
    private let waiting = Mutex(Waiting())

    private struct Waiting {
        var devices: [UserID: [DeviceID: HeardOfDevice]] = [:]
        var count = 0

        /// - Returns: whether there was room.
        mutating func add(_ heard: HeardOfDevice, of user: UserID, _ device: DeviceID) -> Bool {
            if devices[user]?[device] == nil {
                guard count < DeviceReportQueue.maximumDevices,
                    devices[user, default: [:]].count < DeviceReportQueue.maximumDevicesPerUser
                else { return false }
                count += 1
            }
            devices[user, default: [:]][device, default: HeardOfDevice()].add(heard)
            return true
        }

        mutating func takeAll() -> [(DevicePlace, HeardOfDevice)] {
            defer { self = Waiting() }
            return devices.flatMap { user, devices in
                devices.map { (DevicePlace(user: user, device: $0), $1) }
            }
        }
    }

    private enum Outcome: String, CaseIterable {
        case written, lost, malformed
    }

    init(pool: PostgresPool, metrics: MetricsRegistry, logger: Logger) {
        self.pool = pool
        self.logger = logger
        reports = metrics.counter(
            "oversync_upload_device_reports_total",
            "Devices of which something new was heard, by what became of it", labels: ["outcome"],
            known: MetricLabels.each("outcome", Outcome.allCases.map(\.rawValue)))
    }

    /// Takes a report from a device's request.
    ///
    /// - Parameter header: as the device sent it. What is malformed is counted, and fails nothing.
    func add(_ header: String, of caller: CallerIdentity) {
        guard let report = DeviceReport(header: header) else { return count(.malformed) }
        let now = Int64(Date().timeIntervalSince1970)
        add(HeardOfDevice(report: report.document(now: now)), of: caller)
    }

    private func add(_ heard: HeardOfDevice, of caller: CallerIdentity) {
        let isKept = waiting.withLock {
            $0.add(heard, of: UserID(caller.user), DeviceID(caller.device))
        }
        if !isKept { count(.lost) }
    }

    private func count(_ outcome: Outcome, _ number: Int = 1) {
        reports.add(number, ["outcome": outcome.rawValue])
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            while (try? await Task.sleep(for: Self.interval)) != nil { await self.write() }
        }
        // What was said last, as far as the database still takes it.
        await Task.detached { await self.write() }.value
    }

    /// Writes what waits.
    func write() async {
        let heard = waiting.withLock { $0.takeAll() }
        for start in stride(from: 0, to: heard.count, by: DeviceReports.devicesPerStatement) {
            let end = min(start + DeviceReports.devicesPerStatement, heard.count)
            await write(Array(heard[start..<end]))
        }
    }

    private func write(_ heard: [(DevicePlace, HeardOfDevice)]) async {
        let deadline = ContinuousClock.now + Self.writeLimit
        do {
            try await pool.withConnection(deadline: deadline) {
                _ = try await $0.run(DeviceReports.write(heard), deadline: deadline)
            }
            count(.written, heard.count)
        } catch {
            count(.lost, heard.count)
            logger.debug(
                "what devices say of themselves could not be written",
                metadata: .fields([.error: "\(error)"]))
        }
    }
}

extension DeviceReportQueue {
    /// Longest name of a cause, in bytes: many times what the gateway has.
    private static let maximumCauseBytes = 64

    /// The `ReportDevice` call: answers at once.
    func take(
        _ request: ReportDeviceRequest, _ context: CallContext
    ) throws -> RPCReply<ReportDeviceReply> {
        let caller = try context.requiredCaller()
        if !request.report.isEmpty { add(request.report, of: caller) }
        if !request.rejection.isEmpty {
            if request.rejection.utf8.count <= Self.maximumCauseBytes {
                add(HeardOfDevice(rejection: request.rejection), of: caller)
            } else {
                count(.malformed)
            }
        }
        return RPCReply(ReportDeviceReply())
    }
}
