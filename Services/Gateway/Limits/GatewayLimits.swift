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
        connections = Connections(
            ConnectionBook.Limits(
                total: ConnectionRoom.connections(settings.connections, files: files),
                perAddress: settings.addressConnections),
            refusals: refusals)
        stalledReader = settings.stalledReader
        publish(metrics)
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

    private func publish(_ metrics: MetricsRegistry) {
        let (bytes, watchers, longPolls, connections) = (bytes, watchers, longPolls, connections)
        metrics.gauge("oversync_gateway_watchers", "Devices that watch") {
            [(.none, Double(watchers.open))]
        }
        metrics.gauge("oversync_gateway_long_polls", "Downloads that may wait for news") {
            [(.none, Double(longPolls.open))]
        }
        metrics.gauge("oversync_gateway_connections", "Open connections") {
            [(.none, Double(connections.open))]
        }
        metrics.gauge(
            "oversync_gateway_buffered_bytes",
            "Bytes of bodies and of answers that their clients have not taken"
        ) {
            [(.none, Double(bytes.inUse))]
        }
    }
}
