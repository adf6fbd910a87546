import Foundation

/// Time as sync sees it, so that tests can hold it still.
public protocol SyncClock: Sendable {
    /// The time of day.
    var now: Date { get }
    /// Returns after the time has passed; throws `CancellationError` when the task is cancelled.
    func sleep(seconds: Double) async throws
}

/// The machine's clock.
public struct SystemClock: SyncClock {
    /// Makes the clock, which has no settings.
    public init() {}

    /// The time of day.
    public var now: Date { Date() }

    /// Sleeps; a negative number of seconds has passed already.
    public func sleep(seconds: Double) async throws {
        // The one place where the SDK waits for time to pass; tests put a ManualClock here.
        try await Task.sleep(for: .seconds(max(0, seconds)))
    }
}
