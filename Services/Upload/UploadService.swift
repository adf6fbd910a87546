import DatabaseKit
import Model
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
    /// What Upload reads beside what every service does.
    package static let settings: [any DescribedSetting] =
        [changesSetting, payloadSetting, ClaimDevice.setting, TokenSettings.adminRole]
        + UploadTimeouts.all + UploadQueue.all + DatabaseSettings.upload.all

    package static let program = ServiceProgram(
        name: "oversync-upload", purpose: "accepts the devices' changes and writes them",
        settings: settings, socketFolder: "upload", check: DatabaseSettings.upload.problems)

    /// Does what the program's arguments say; without any, runs the service until a signal ends it.
    package static func run() async {
        await ServiceProcess.run(program) { process in
            let configuration = process.configuration
            let database = try DatabaseSettings.upload.database(process)
            let pool = database.pool
            let source = CatalogSource(pool: pool, logger: process.logger)
            var limits = WireLimits()
            limits.changesPerUpload = try configuration.value(changesSetting)
            limits.bytesPerPayload = try configuration.value(payloadSetting)
            let executor = try UploadExecutor(
                pool: pool, source: source, limits: limits, configuration, metrics: process.metrics)
            source.report(to: process.metrics)
            let sockets = try configuration.value(CommonSettings.runDirectory)
            let observer = RPCMetrics(process.metrics, service: process.name)
            let download = RPCClient(
                directory: sockets + "/download", service: "download",
                hello: BuildInfo.hello, logger: process.logger, observer: observer)
            let announcer = HeadAnnouncer(download: download, metrics: process.metrics)
            let tables = TableTroubles(metrics: process.metrics, logger: process.logger)
            let push = PushChanges(
                executor: executor, announcer: announcer, metrics: UploadMetrics(process.metrics),
                tables: tables, logger: process.logger)
            var router = RPCRouter()
            router.on(UploadRPC.pushChanges) { try await push($0, $1, $2) }
            let hydration = NoteHydration(pool: pool, logger: process.logger)
            router.on(UploadRPC.noteHydration) { request, _, context in
                try await hydration(request, context)
            }
            let claim = ClaimDevice(
                pool: pool, maximumDevices: try configuration.value(ClaimDevice.setting),
                logger: process.logger)
            router.on(UploadRPC.claimDevice) { try await claim($2) }
            let capabilities = ReadCapabilities(source: source, limits: limits)
            router.on(UploadRPC.readCapabilities) { request, _, context in
                try await capabilities(request, context)
            }
            let failures = FailureStore(pool: pool)
            let administrators = Administrators(
                role: try configuration.value(TokenSettings.adminRole))
            let retry = RetryFailure(
                store: failures, executor: executor, announcer: announcer,
                administrators: administrators)
            router.on(UploadRPC.retryFailure) { request, _, context in
                try await retry(request, context)
            }
            serve(administrators, failures, pool, &router)
            serveAudit(failures, pool, &router)
            var rpcLimits = RPCLimits()
            rpcLimits.maximumCallsInFlight = maximumCallsInFlight
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
                    probe.connection,
                    source, download, announcer, server, configurationRecord(process, pool),
                ], [probe.check]
            )
        }
    }

    private static func serve(
        _ administrators: Administrators, _ failures: FailureStore, _ pool: PostgresPool,
        _ router: inout RPCRouter
    ) {
        let list = ListFailures(store: failures, administrators: administrators)
        router.on(UploadRPC.listFailures) { request, _, context in
            try await list(request, context)
        }
        let devices = AdministerDevices(pool: pool, administrators: administrators)
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
