import DatabaseKit
import Logging
import Model
import OTLP
import Postgres
import Protos
import RPC
import ServiceKit
import ServiceLifecycle
import Sidecar
import Telemetry

extension DatabaseSettings {
    /// Downloads are short reads: more connections than PostgreSQL has processors to answer them only wait.
    package static let download = DatabaseSettings(
        service: "DOWNLOAD", maximum: 8, statementSeconds: 15)
}

/// The Download service: serves the changes of a user in pages. What it keeps it can do without; replicas are equal.
package enum DownloadService {
    /// Calls at once. Most of them are devices that wait for news and cost no more than memory; those that
    /// read are bounded by the pool.
    private static let maximumCallsInFlight = 32_768

    private static func rpcLimits(
        _ configuration: Configuration
    ) throws(ConfigurationError) -> RPCLimits {
        var limits = RPCLimits()
        limits.maximumCallsInFlight = maximumCallsInFlight
        limits.peers = try configuration.value(callers)
        return limits
    }

    static let callers = PeerSettings.callers(of: "DOWNLOAD", DownloadRPC.names)

    /// What Download reads in addition to what every service reads.
    package static let settings: [any DescribedSetting] =
        [CommonSettings.maximumPageRows, CommonSettings.idlePolls] + PageTurns.all
        + DatabaseSettings.download.all
        + [StandbyPages.urls, callers, PeerSettings.serviceUsers]

    package static let program = ServiceProgram(
        name: "oversync-download", purpose: "serves a user's changes to the devices, in pages",
        settings: settings, socketFolder: "download",
        check: {
            DatabaseSettings.download.problems(in: $0)
                + DatabaseSettings.download.standbyProblems(StandbyPages.urls, in: $0)
        })

    /// Does what the program's arguments say; without any, runs the service until a signal ends it.
    package static func run() async {
        await ServiceProcess.run(program, exporters: TelemetryExport.start) { process in
            let configuration = process.configuration
            let database = try DatabaseSettings.download.database(process)
            let pool = database.pool
            let source = CatalogSource(pool: pool, logger: process.logger)
            source.reportAge(to: process.metrics)
            let heads = ScopeHeads(pool: pool, logger: process.logger)
            heads.report(to: process.metrics)
            var limits = WireLimits()
            limits.rowsPerPage = try configuration.value(CommonSettings.maximumPageRows)
            let scopes = ScopeIDs()
            let reader = PageReader(pool: pool, source: source, scopes: scopes)
            let sockets = try configuration.value(CommonSettings.runDirectory)
            let observer = RPCMetrics(process.metrics)
            let upload = RPCClient(
                directory: sockets + "/upload", service: "upload",
                limits: try PeerSettings.limits(calling: "upload", configuration),
                hello: BuildInfo.hello, logger: process.logger, observer: observer)
            let turns = try PageTurns(configuration)
            turns.report(to: process.metrics)
            let metrics = DownloadMetrics(process.metrics)
            let standbys = try standbys(process, database, reader, heads)
            let pull = PullChanges(
                reader: reader, turns: turns, heads: heads,
                hydrations: UploadsHydrationNotes(upload: upload), limits: limits,
                metrics: metrics, logger: process.logger, standbys: standbys?.pages,
                idlePolls: LogSample(every: try configuration.value(CommonSettings.idlePolls)))
            let watch = WatchHead(
                reader: reader, heads: heads, metrics: metrics, logger: process.logger)
            var router = RPCRouter()
            router.onReadPool(of: pool)
            router.on(DownloadRPC.pullChanges) { try await pull($0, $1, $2) }
            router.onStream(DownloadRPC.watchHead) { try await watch($0, $2, $3) }
            router.on(DownloadRPC.noteHeads) { request, _, _ in
                heads.observe(request)
                return RPCReply(NoteHeadsReply())
            }
            serveDigests(reader, turns, metrics, process.logger, &router)
            let bootstrap = ReadBootstrap(pool: pool, source: source, scopes: scopes)
            router.on(DownloadRPC.readBootstrap) { request, _, context in
                try await bootstrap(request, context)
            }
            let server = RPCServer(
                directory: sockets + "/download",
                replica: try configuration.value(CommonSettings.replica), router: router,
                limits: try rpcLimits(configuration), hello: BuildInfo.hello,
                status: Readiness.starting,
                currentStatus: { process.readiness.status },
                logger: process.logger, observer: observer
            ) {
                // Ends all waits for news, as the server waits for every call to end.
                heads.close()
            }
            process.readiness.onChange { server.publish($0) }
            let probe = try database.probe(
                DatabaseNeeds(
                    layout: Migration.currentVersion, privileges: DownloadPrivileges.sidecar,
                    writes: false, remembered: DatabaseNeeds.state(of: source)))
            return (
                [
                    pool, database.poolerCheck, probe.connection,
                    source, upload, heads,
                ] + (standbys?.services ?? []) + [
                    server, ConfigurationRecord(process, by: upload),
                ],
                [probe.check, ReadinessCheck("heads") { heads.problem() }]
            )
        }
    }

    /// Nil where no standby is named.
    private static func standbys(
        _ process: ServiceProcess, _ database: ServiceDatabase, _ reader: PageReader,
        _ heads: ScopeHeads
    ) throws -> (pages: StandbyPages, services: [any Service])? {
        let databases = try DatabaseSettings.download.standbys(StandbyPages.urls, process)
        if databases.isEmpty { return nil }
        let standbys = Standbys(
            databases.map(Standbys.Member.init), primary: try database.connection(),
            logger: process.logger)
        standbys.report(to: process.metrics)
        process.readiness.describe { standbys.details }
        let pages = try StandbyPages(
            standbys, primary: reader, heads: heads, process.configuration,
            metrics: StandbyMetrics(process.metrics))
        return (pages, standbys.services)
    }

    private static func serveDigests(
        _ reader: PageReader, _ turns: PageTurns, _ metrics: DownloadMetrics, _ logger: Logger,
        _ router: inout RPCRouter
    ) {
        let digest = ReadDigest(
            reader: reader, turns: DigestTurns(), metrics: metrics, logger: logger)
        router.on(DownloadRPC.readDigest) { request, _, context in
            try await digest(request, context)
        }
        let rows = ReadRows(reader: reader, turns: turns, metrics: metrics, logger: logger)
        router.on(DownloadRPC.readRows) { try await rows($0, $1, $2) }
    }
}
