import CLibPQ
import Glibc
import Synchronization

/// Something that has work to do at a time.
protocol Timed: AnyObject, Sendable {
    /// Does what is due and returns when it wants to be called next.
    func tick(now: ContinuousClock.Instant) -> ContinuousClock.Instant?
}

/// The one thread that waits for all PostgreSQL sockets of the process, and for their deadlines.
///
/// One thread serves all connections, since what it does for each is short: measured against a
/// thread or a queue per connection it is half as much processor time for a query.
final class Poller: Sendable {
    typealias Instant = ContinuousClock.Instant

    static let shared = Poller()

    /// Marks the events of `wakeUp` among those of the channels, whose tokens start at 1.
    private static let wakeUpToken: UInt64 = 0
    private static let eventsPerWait = 128
    /// The longest single wait, in milliseconds; only a bound for the arithmetic.
    private static let longestWait: Int64 = 60_000

    private struct WeakTimed {
        weak var object: (any Timed)?
    }

    private struct Members {
        var channels: [UInt64: Channel] = [:]
        var others: [ObjectIdentifier: WeakTimed] = [:]
        var lastToken = Poller.wakeUpToken
        var nextTick: Instant?
    }

    private let epoll: Int32
    private let wakeUp: Int32
    private let members = Mutex(Members())

    private init() {
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        wakeUp = eventfd(0, Int32(EFD_CLOEXEC) | Int32(EFD_NONBLOCK))
        // Without these two descriptors no connection can ever work, and there is no caller to tell.
        precondition(epoll >= 0 && wakeUp >= 0, "no descriptors for the PostgreSQL poller")
        watch(wakeUp, token: Self.wakeUpToken, events: EPOLLIN.rawValue, previously: false)
        startThread()
    }

    /// Gives `channel` a token and calls its `ready` and `tick` from now on. Held until `remove`.
    func add(_ channel: Channel) -> UInt64 {
        members.withLock { members in
            members.lastToken += 1
            members.channels[members.lastToken] = channel
            return members.lastToken
        }
    }

    func remove(token: UInt64) {
        _ = members.withLock { $0.channels.removeValue(forKey: token) }
    }

    /// Calls the object's `tick` from now on, until it is gone. Held weakly.
    func add(_ timed: any Timed) {
        members.withLock { $0.others[ObjectIdentifier(timed)] = WeakTimed(object: timed) }
    }

    func remove(_ identifier: ObjectIdentifier) {
        _ = members.withLock { $0.others.removeValue(forKey: identifier) }
    }

    /// Makes sure that ticks are due no later than `instant`.
    func remember(_ instant: Instant) {
        let isEarlier = members.withLock { members in
            if let next = members.nextTick, next <= instant { return false }
            members.nextTick = instant
            return true
        }
        if isEarlier {
            var one: UInt64 = 1
            _ = write(wakeUp, &one, MemoryLayout<UInt64>.size)
        }
    }

    /// Watches a socket, replacing what it was watched for.
    func watch(_ socket: Int32, token: UInt64, for interest: Interest, previously: Bool) {
        let events =
            switch interest {
            case .read: EPOLLIN.rawValue
            case .write: EPOLLOUT.rawValue
            case .readWrite: EPOLLIN.rawValue | EPOLLOUT.rawValue
            }
        watch(socket, token: token, events: events, previously: previously)
    }

    func unwatch(_ socket: Int32) {
        _ = epoll_ctl(epoll, EPOLL_CTL_DEL, socket, nil)
    }

    private func watch(_ socket: Int32, token: UInt64, events: UInt32, previously: Bool) {
        var event = epoll_event(events: events, data: epoll_data_t(u64: token))
        if previously, epoll_ctl(epoll, EPOLL_CTL_MOD, socket, &event) == 0 { return }
        // Also when libpq has closed one socket while connecting and opened another.
        _ = epoll_ctl(epoll, EPOLL_CTL_ADD, socket, &event)
    }

    private func startThread() {
        var thread = pthread_t()
        let context = Unmanaged.passRetained(self).toOpaque()
        let status = pthread_create(
            &thread, nil,
            { context in
                guard let context else { return nil }
                Unmanaged<Poller>.fromOpaque(context).takeUnretainedValue().loop()
            }, context)
        precondition(status == 0, "no thread for the PostgreSQL poller")
        pthread_detach(thread)
    }

    private func loop() -> Never {
        var events = [epoll_event](repeating: epoll_event(), count: Self.eventsPerWait)
        while true {
            let count = epoll_wait(epoll, &events, Int32(Self.eventsPerWait), timeout())
            for event in events.prefix(max(0, Int(count))) {
                handle(token: event.data.u64, events: event.events)
            }
            tickIfDue()
        }
    }

    private func handle(token: UInt64, events: UInt32) {
        if token == Self.wakeUpToken {
            var count: UInt64 = 0
            _ = read(wakeUp, &count, MemoryLayout<UInt64>.size)
        } else {
            // Gone when it was closed after the wait returned.
            members.withLock { $0.channels[token] }?.ready()
        }
    }

    private func timeout() -> Int32 {
        guard let next = members.withLock({ $0.nextTick }) else { return -1 }
        let (seconds, attoseconds) = (next - .now).components
        let milliseconds = seconds * 1000 + attoseconds / 1_000_000_000_000_000 + 1
        return Int32(min(max(milliseconds, 0), Self.longestWait))
    }

    private func tickIfDue() {
        let now = Instant.now
        let due: [any Timed] = members.withLock { members in
            guard let next = members.nextTick, next <= now else { return [] }
            members.nextTick = nil
            return members.channels.values.map { $0 as any Timed }
                + members.others.values.compactMap(\.object)
        }
        if let next = due.compactMap({ $0.tick(now: now) }).min() { remember(next) }
    }
}
