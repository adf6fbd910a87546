import Model
import ServiceKit
import Telemetry
import Waiting

/// Everything that keeps one user, device or address from hurting the others, with its metrics.
struct GatewayLimits: Sendable {
    let rates: RateLimits
    let refusalPause = RefusalPause()
    let rejections: RejectedTokens?
    let bytes: ByteBudget
    let work = LongWork()
    let watchers: Watchers
    let longPolls: LongPolls
    let connections: Connections
    /// How long a client may take nothing of an answer.
    let stalledReader: Duration
    let refusals: GatewayRefusals

    /// - Parameter files: how many the process may open.
    init(_ settings: LimitSettings, files: Int, _ metrics: MetricsRegistry) {
        refusals = GatewayRefusals(metrics)
        rates = RateLimits(
            requestsPerSecond: settings.requestsPerSecond, bytesPerSecond: settings.bytesPerSecond)
        rejections =
            settings.rejectedTokensPerSecond > 0
            ? RejectedTokens(tokensPerSecond: settings.rejectedTokensPerSecond) : nil
        bytes = ByteBudget(total: settings.bufferBytes, share: settings.userBufferBytes)
        watchers = Watchers(settings.watchers, refusals: refusals)
        longPolls = LongPolls(settings.longPolls, refusals: refusals)
        let most = ConnectionRoom.connections(settings.connections, files: files)
        connections = Connections(
            ConnectionBook.Limits(
                total: most, perAddress: settings.addressConnections),
            refusals: refusals)
        stalledReader = settings.stalledReader
        publish(metrics, most: most)
    }

    /// A request of a user begins.
    ///
    /// - Throws: `WireError` 429, after a pause, when the user has used up its allowance.
    func enter(_ user: UserID) async throws(WireError) {
        do {
            try rates.enter(user)
        } catch {
            await refusalPause.wait(for: user)
            throw error
        }
    }

    /// - Parameter most: connections that may be open at once.
    private func publish(_ metrics: MetricsRegistry, most: Int) {
        let (bytes, watchers, longPolls, connections) = (bytes, watchers, longPolls, connections)
        metrics.value("oversync_gateway_watchers", "Devices that watch") {
            Double(watchers.open)
        }
        metrics.value("oversync_gateway_long_polls", "Downloads that may wait for news") {
            Double(longPolls.open)
        }
        metrics.value("oversync_gateway_connections", "Open connections") {
            Double(connections.open)
        }
        metrics.value("oversync_gateway_max_connections", "Connections that may be open at once") {
            Double(most)
        }
        metrics.value(
            "oversync_gateway_buffered_bytes",
            "Bytes of bodies and of answers that their clients have not taken"
        ) { Double(bytes.inUse) }
        metrics.value(
            "oversync_gateway_max_buffered_bytes", "Such bytes that may be held at once"
        ) { Double(bytes.total) }
    }
}
