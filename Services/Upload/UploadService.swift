import DatabaseKit
import Foundation
import Model
import OTLP
import Postgres
import RPC
import ServiceKit
import ServiceLifecycle
import Sidecar

extension DatabaseSettings {
    /// Uploads write and wait for commits: few connections keep the disk busy.
    package static let upload = DatabaseSettings(
        service: "UPLOAD", maximum: 16, statementSeconds: 15)
}

/// The Upload service: accepts changes, decides about them and writes them.
package enum UploadService {
    /// Calls at once. Most of them wait for their turn, within the bounds of `UploadQueue`.
    private static let maximumCallsInFlight = 8192

    static let changesSetting = Setting.integer(
        "OVERSYNC_MAX_UPLOAD_CHANGES", "most changes in one upload",
        default: WireLimits().changesPerUpload,
        in: 1...10_000, unit: "changes")
    static let payloadSetting = Setting.integer(
        "OVERSYNC_MAX_PAYLOAD_BYTES", "largest payload of one change",
        default: WireLimits().bytesPerPayload,
        in: 256...WireLimits.largestRowBytes, unit: "bytes")
    static let callers = PeerSettings.callers(of: "UPLOAD", UploadRPC.names)
    /// What Upload reads in addition to what every service reads.
    package static let settings: [any DescribedSetting] =
        [changesSetting, payloadSetting, ClaimDevice.setting, TokenSettings.adminRole]
        + [callers, PeerSettings.serviceUsers]
        + QuotaSettings.all + UploadTimeouts.all + UploadQueue.all + DatabaseSettings.upload.all
        + MaintenanceSettings.all

    package static let program = ServiceProgram(
        name: "oversync-upload", purpose: "accepts the devices' changes and writes them",
        settings: settings, socketFolder: "upload",
        check: {
            DatabaseSettings.upload.problems(in: $0) + MaintenanceSettings.problems(in: $0)
        })

    /// Does what the program's arguments say; without any, runs the service until a signal ends it.
    package static func run() async {
        await ServiceProcess.run(program, exporters: TelemetryExport.start) { process in
            let configuration = process.configuration
            let database = try DatabaseSettings.upload.database(process)
            let pool = database.pool
            let source = CatalogSource(pool: pool, logger: process.logger)
            let limits = try Self.limits(configuration)
            let executor = try UploadExecutor(
                pool: pool, source: source, limits: limits, configuration, metrics: process.metrics)
            source.reportFlaws(to: process.metrics)
            source.reportAge(to: process.metrics)
            let gauges = Self.gauges(pool, process)
            let metrics = UploadMetrics(process.metrics)
            let sockets = try configuration.value(CommonSettings.runDirectory)
            let observer = RPCMetrics(process.metrics)
            let download = RPCClient(
                directory: sockets + "/download", service: "download",
                limits: try PeerSettings.limits(calling: "download", configuration),
                hello: BuildInfo.hello, logger: process.logger, observer: observer)
            let announcer = HeadAnnouncer(download: download, metrics: process.metrics)
            let tables = TableTroubles(metrics: process.metrics, logger: process.logger)
            let reports = DeviceReportQueue(
                pool: pool, metrics: process.metrics, logger: process.logger)
            let conflicts = ConflictMemory(replica: try configuration.value(CommonSettings.replica))
            let push = PushChanges(
                executor: executor, announcer: announcer, metrics: metrics,
                tables: tables, reports: reports, conflicts: conflicts, logger: process.logger)
            var router = RPCRouter()
            router.onReadPool(of: pool)
            router.on(UploadRPC.pushChanges) { try await push($0, $1, $2) }
            try serveDevices(executor, pool, source, process, &router)
            let capabilities = ReadCapabilities(source: source, limits: limits)
            router.on(UploadRPC.readCapabilities) { request, _, context in
                try await capabilities(request, context)
            }
            let failures = FailureStore(pool: pool)
            let administrators = Administrators(
                role: try configuration.value(TokenSettings.adminRole))
            let retry = RetryFailure(
                store: failures, executor: executor, announcer: announcer,
                administrators: administrators, metrics: metrics)
            router.on(UploadRPC.retryFailure) { request, _, context in
                try await retry(request, context)
            }
            serve(administrators, failures, pool, executor.quotas, &router)
            let inspect = Inspect(
                pool: pool, source: source, administrators: administrators, gauges: gauges,
                conflicts: conflicts)
            serve(inspect, reports, &router)
            serveAudit(failures, pool, &router)
            var rpcLimits = RPCLimits()
            rpcLimits.maximumCallsInFlight = maximumCallsInFlight
            rpcLimits.peers = try configuration.value(callers)
            let server = RPCServer(
                directory: sockets + "/upload",
                replica: try configuration.value(CommonSettings.replica), router: router,
                limits: rpcLimits, hello: BuildInfo.hello, status: Readiness.starting,
                currentStatus: { process.readiness.status },
                logger: process.logger, observer: observer)
            process.readiness.onChange { server.publish($0) }
            let probe = try database.probe(UploadPrivileges.needs(source, tables))
            return (
                [
                    pool, database.poolerCheck, LogCheck(pool: pool, logger: process.logger),
                    probe.connection, source, gauges, download, announcer, reports, server,
                    configurationRecord(process, pool),
                ] + (try maintenance(process)), [probe.check]
            )
        }
    }

    /// What the database says of itself, in metrics and in the details of `/ready`.
    private static func gauges(_ pool: PostgresPool, _ process: ServiceProcess) -> SidecarGauges {
        let gauges = SidecarGauges(pool: pool, logger: process.logger)
        gauges.report(to: process.metrics)
        process.readiness.describe { gauges.warnings }
        return gauges
    }

    private static func limits(
        _ configuration: Configuration
    ) throws(ConfigurationError) -> WireLimits {
        var limits = WireLimits()
        limits.changesPerUpload = try configuration.value(changesSetting)
        limits.bytesPerPayload = try configuration.value(payloadSetting)
        return limits
    }

    /// What devices say of themselves, and what administrators see of it and of the rest.
    private static func serve(
        _ inspect: Inspect, _ reports: DeviceReportQueue, _ router: inout RPCRouter
    ) {
        router.on(UploadRPC.inspect) { request, _, context in
            try await inspect(request, context)
        }
        router.on(UploadRPC.reportDevice) { request, _, context in
            try reports.take(request, context)
        }
    }

    private static func serveDevices(
        _ executor: UploadExecutor, _ pool: PostgresPool, _ source: CatalogSource,
        _ process: ServiceProcess, _ router: inout RPCRouter
    ) throws {
        let hydration = NoteHydration(pool: pool, logger: process.logger)
        router.on(UploadRPC.noteHydration) { request, _, context in
            try await hydration(request, context)
        }
        let claim = ClaimDevice(
            pool: pool, maximumDevices: try process.configuration.value(ClaimDevice.setting),
            quota: executor.quotas.devices, logger: process.logger)
        router.on(UploadRPC.claimDevice) { try await claim($2) }
        let lease = LeaseKeys(pool: pool, source: source, logger: process.logger)
        router.on(UploadRPC.leaseKeys) { try await lease($1, $2) }
    }

    private static func serve(
        _ administrators: Administrators, _ failures: FailureStore, _ pool: PostgresPool,
        _ quotas: Quotas, _ router: inout RPCRouter
    ) {
        let list = ListFailures(store: failures, administrators: administrators)
        router.on(UploadRPC.listFailures) { request, _, context in
            try await list(request, context)
        }
        let devices = AdministerDevices(
            pool: pool, administrators: administrators, quotas: quotas)
        router.on(UploadRPC.listDevices) { try await devices.list($0, $2) }
        router.on(UploadRPC.setDeviceAccess) { try await devices.setAccess($0, $2) }
        router.on(UploadRPC.showUser) { try await devices.show($0, $2) }
    }

    /// What services without a right to write have Upload add to the audit.
    private static func serveAudit(
        _ failures: FailureStore, _ pool: PostgresPool, _ router: inout RPCRouter
    ) {
        let refusal = RecordRefusal(store: failures)
        router.on(UploadRPC.recordRefusal) { request, _, context in
            try await refusal(request, context)
        }
        let settings = RecordSettings(pool: pool)
        router.on(UploadRPC.recordSettings) { request, _, context in
            try await settings(request, context)
        }
    }

    /// Nothing where it is not configured, but for its metrics.
    private static func maintenance(_ process: ServiceProcess) throws -> [any Service] {
        let configuration = process.configuration
        let metrics = MaintenanceMetrics(process.metrics)
        guard configuration.isSet(MaintenanceSettings.url.key) else { return [] }
        let pool = try DatabaseSettings.upload.pool(
            MaintenanceSettings.url, password: MaintenanceSettings.password, for: "maintenance",
            connections: Maintenance.connections, process)
        let replica = try configuration.value(CommonSettings.replica)
        return [
            pool,
            Maintenance(
                pool: pool, settings: try MaintenanceSettings(configuration),
                metrics: metrics, logger: process.logger,
                holder: "\(replica) \(UUID().uuidString)", host: replica),
        ]
    }

    private static func configurationRecord(
        _ process: ServiceProcess, _ pool: PostgresPool
    ) -> ConfigurationRecord {
        ConfigurationRecord(process) { host, settings, deadline in
            let statement = AuditStatements.RecordConfiguration(
                service: process.name, host: host, settings: settings)
            _ = try await pool.withConnection(deadline: deadline) {
                try await $0.run(statement, deadline: deadline)
            }
        }
    }
}
