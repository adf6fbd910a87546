/// The bounds of a connection pool.
package struct PoolConfiguration: Sendable, Equatable {
    package var minimumConnections: Int
    package var maximumConnections: Int
    /// A connection older than this is replaced when it is free. Each lives up to a tenth less, so
    /// that connections made together do not end together.
    package var maximumLifetime: Duration
    /// A connection above the minimum that nobody used for this long is closed.
    package var maximumIdleTime: Duration
    /// How many callers may wait; one more is refused at once.
    package var maximumWaiters: Int
    /// How long a caller waits who names no deadline of their own.
    package var acquireTimeout: Duration
    /// How long callers wait through attempts to connect that fail, so that they do not notice a quick restart of
    /// the server. Then they are refused at once.
    package var outageBridge: Duration
    /// A connection idle for longer is asked for a sign of life before it is handed out.
    package var healthCheckAfterIdle: Duration

    package static let connectionBounds = 1...10_000
    package static let waiterBounds = 0...1_000_000

    /// - Throws: `.misuse` naming the bound that does not hold.
    package init(
        minimumConnections: Int = 0, maximumConnections: Int = 10,
        maximumLifetime: Duration = .seconds(1800), maximumIdleTime: Duration = .seconds(300),
        maximumWaiters: Int = 1000, acquireTimeout: Duration = .seconds(5),
        outageBridge: Duration = .seconds(1), healthCheckAfterIdle: Duration = .seconds(30)
    ) throws(PostgresError) {
        self.minimumConnections = minimumConnections
        self.maximumConnections = maximumConnections
        self.maximumLifetime = maximumLifetime
        self.maximumIdleTime = maximumIdleTime
        self.maximumWaiters = maximumWaiters
        self.acquireTimeout = acquireTimeout
        self.outageBridge = outageBridge
        self.healthCheckAfterIdle = healthCheckAfterIdle
        if let flaw { throw PostgresError(.misuse(flaw)) }
    }

    private var flaw: String? {
        if !Self.connectionBounds.contains(maximumConnections) {
            return "maximumConnections is not within \(Self.connectionBounds)"
        }
        if minimumConnections < 0 || minimumConnections > maximumConnections {
            return "minimumConnections is not within 0 and maximumConnections"
        }
        if !Self.waiterBounds.contains(maximumWaiters) {
            return "maximumWaiters is not within \(Self.waiterBounds)"
        }
        if outageBridge < .zero { return "outageBridge is negative" }
        let durations = [
            maximumLifetime, maximumIdleTime, acquireTimeout, healthCheckAfterIdle,
        ]
        return durations.allSatisfy { $0 > .zero } ? nil : "a duration is not positive"
    }
}
