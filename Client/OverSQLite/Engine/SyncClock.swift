import Foundation

/// Time as sync sees it, so that tests can hold it still.
public protocol SyncClock: Sendable {
    var now: Date { get }
    /// Returns after the time has passed; throws `CancellationError` when the task is cancelled.
    func sleep(seconds: Double) async throws
}

/// The machine's clock.
public struct SystemClock: SyncClock {
    public init() {}

    public var now: Date { Date() }

    public func sleep(seconds: Double) async throws {
        try await Task.sleep(for: .seconds(max(0, seconds)))
    }
}
