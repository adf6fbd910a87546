import DatabaseKit
import Model
import Postgres
import RPC
import ServiceKit
import ServiceLifecycle
import Sidecar
import Telemetry

extension DatabaseSettings {
    /// Downloads are short reads: as many connections as PostgreSQL has cores to answer them.
    package static let download = DatabaseSettings(
        service: "DOWNLOAD", maximum: 8, statementSeconds: 15)
}

/// The Download service: serves the changes of a user in pages. It keeps no state; replicas are equal.
package enum DownloadService {
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
            let pull = PullChanges(
                reader: PageReader(pool: pool, source: source), heads: heads, limits: limits,
                metrics: DownloadMetrics(process.metrics), logger: process.logger)
            var router = RPCRouter()
            router.on(DownloadRPC.pullChanges) { try await pull($0, $1, $2) }
            let bootstrap = ReadBootstrap(pool: pool)
            router.on(DownloadRPC.readBootstrap) { _, _, context in try await bootstrap(context) }
            let server = RPCServer(
                directory: try configuration.value(CommonSettings.runDirectory) + "/download",
                replica: try configuration.value(CommonSettings.replica), router: router,
                logger: process.logger, observer: RPCMetrics(process.metrics, service: process.name)
            )
            return (
                [pool, source, heads, server],
                [ReadinessCheck("database") { await source.problem() }]
            )
        }
    }
}
