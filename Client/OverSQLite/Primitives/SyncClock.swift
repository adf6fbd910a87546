import Foundation

/// The time for sync. Tests can replace it with a clock that they control.
public protocol SyncClock: Sendable {
    /// The current time.
    var now: Date { get }
    /// Returns after the given number of seconds; at once if it is not positive.
    ///
    /// - Throws: `CancellationError` if the task is cancelled.
    func sleep(seconds: Double) async throws
}

/// The system's clock.
public struct SystemClock: SyncClock {
    /// Makes the clock.
    public init() {}

    /// The current time.
    public var now: Date { Date() }

    /// Sleeps for the given number of seconds; a negative number counts as 0.
    public func sleep(seconds: Double) async throws {
        // The only place where the SDK waits for time to pass; tests use a ManualClock instead.
        try await Task.sleep(for: .seconds(max(0, seconds)))
    }
}
