import DatabaseKit
import Model
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

    /// What Download reads beside what every service does.
    package static let settings: [any DescribedSetting] =
        [CommonSettings.maximumPageRows] + DatabaseSettings.download.all

    /// Runs the service until a signal ends it.
    package static func run() async throws {
        try await ServiceProcess.run("oversync-download") { process in
            let configuration = process.configuration
            let pool = try DatabaseSettings.download.pool(process)
            let source = CatalogSource(pool: pool, logger: process.logger)
            let heads = ScopeHeads(pool: pool, logger: process.logger)
            process.metrics.gauge("oversync_download_waiting", "Downloads waiting for news") {
                [(.none, Double(heads.waiting))]
            }
            var limits = WireLimits()
            limits.rowsPerPage = try configuration.value(
                CommonSettings.maximumPageRows)
            let reader = PageReader(pool: pool, source: source)
            let pull = PullChanges(
                reader: reader, heads: heads, limits: limits,
                metrics: DownloadMetrics(process.metrics), logger: process.logger)
            let watch = WatchHead(reader: reader, heads: heads, logger: process.logger)
            var router = RPCRouter()
            router.on(DownloadRPC.pullChanges) { try await pull($0, $1, $2) }
            router.onStream(DownloadRPC.watchHead) { try await watch($0, $2, $3) }
            router.on(DownloadRPC.noteHeads) { request, _, _ in
                for head in request.heads { heads.note(head.lastSeq, of: UserID(head.user)) }
                return RPCReply(NoteHeadsReply())
            }
            let bootstrap = ReadBootstrap(pool: pool)
            router.on(DownloadRPC.readBootstrap) { _, _, context in try await bootstrap(context) }
            var rpcLimits = RPCLimits()
            rpcLimits.maximumCallsInFlight = maximumCallsInFlight
            let server = RPCServer(
                directory: try configuration.value(CommonSettings.runDirectory) + "/download",
                replica: try configuration.value(CommonSettings.replica), router: router,
                limits: rpcLimits, logger: process.logger,
                observer: RPCMetrics(process.metrics, service: process.name))
            // Services end from the last to the first: who waits for news is sent away before the server waits
            // for its calls to end.
            return (
                [pool, source, server, heads],
                [ReadinessCheck("database") { await source.problem() }]
            )
        }
    }
}
