import NIOCore
import NIOPosix
import Synchronization

/// Calls back at given times, with one timer for all of them and no tasks.
///
/// An alarm cannot be cancelled. The callback ignores alarms for what is over by then.
package final class Alarms<Key: Sendable>: Sendable {
    package typealias Instant = ContinuousClock.Instant

    private struct State {
        var schedule = AlarmSchedule<Key>(start: .now)
        var isTicking = false
    }

    private let loop: any EventLoop
    private let ring: @Sendable (Key) -> Void
    private let state = Mutex(State())

    /// - Parameter ring: called with each alarm when its moment has come.
    package init(
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton,
        ring: @escaping @Sendable (Key) -> Void
    ) {
        loop = group.any()
        self.ring = ring
    }

    /// Rings for `key` at `instant`, or a little later (`AlarmSchedule.resolution`).
    package func set(_ key: Key, at instant: Instant) {
        let begins = state.withLock { state in
            state.schedule.add(key, at: instant)
            defer { state.isTicking = true }
            return !state.isTicking
        }
        if begins { scheduleTick() }
    }

    private func scheduleTick() {
        loop.scheduleTask(in: TimeAmount(AlarmSchedule<Key>.resolution)) { [weak self] in
            self?.tick()
        }
    }

    private func tick() {
        let (due, goesOn) = state.withLock { state in
            let due = state.schedule.take(until: .now)
            state.isTicking = !state.schedule.isEmpty
            return (due, state.isTicking)
        }
        for key in due { ring(key) }
        if goesOn { scheduleTick() }
    }
}

/// Alarms by the moment at which they are due. Decides; performs nothing.
package struct AlarmSchedule<Key> {
    /// How late an alarm may be. Alarms of the same interval are one entry.
    package static var resolution: Duration { .milliseconds(50) }

    private let start: ContinuousClock.Instant
    private var keys: [Int: [Key]] = [:]

    package init(start: ContinuousClock.Instant) {
        self.start = start
    }

    package var isEmpty: Bool { keys.isEmpty }

    package mutating func add(_ key: Key, at instant: ContinuousClock.Instant) {
        keys[Int(((instant - start) / Self.resolution).rounded(.up)), default: []].append(key)
    }

    /// Takes out what is due, the earliest first.
    package mutating func take(until now: ContinuousClock.Instant) -> [Key] {
        let current = Int(((now - start) / Self.resolution).rounded(.down))
        let due = keys.keys.filter { $0 <= current }.sorted()
        return due.flatMap { keys.removeValue(forKey: $0) ?? [] }
    }
}
