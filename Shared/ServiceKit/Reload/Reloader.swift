import Logging
import ServiceLifecycle
import UnixSignals

/// Reads again what is in files: when a file changes, and on SIGHUP.
///
/// Files are looked at rather than watched by the kernel: secrets of container platforms are replaced through symbolic
/// links and in file systems of other machines, of which the kernel here tells nothing.
struct Reloader: Service {
    /// Time between two looks. A change is taken up after two.
    static let interval: Duration = .milliseconds(500)
    /// Events that wait while one is handled.
    private static let eventsKept = 8

    let reloadables: [Reloadable]
    let hangups: UnixSignalsSequence
    let logger: Logger

    private enum Event: Sendable {
        case look
        case hangup
    }

    func run() async throws {
        await cancelWhenGracefulShutdown {
            let (events, event) = AsyncStream<Event>.makeStream(
                bufferingPolicy: .bufferingNewest(Self.eventsKept))
            await withDiscardingTaskGroup { group in
                group.addTask { for await _ in hangups { event.yield(.hangup) } }
                group.addTask {
                    while (try? await Task.sleep(for: Self.interval)) != nil { event.yield(.look) }
                }
                await handle(events)
                group.cancelAll()
            }
        }
    }

    private func handle(_ events: AsyncStream<Event>) async {
        var watches = reloadables.map { FileWatch(Self.stamps($0)) }
        // What changed between its first reading and the first look at its files.
        for each in reloadables { await reload(each) }
        for await event in events {
            var changed: [String] = []
            for (index, each) in reloadables.enumerated() {
                let stamps = Self.stamps(each)
                switch event {
                case .look:
                    if watches[index].look(stamps) { await reload(each) }
                case .hangup:
                    watches[index].skip(stamps)
                    if await reload(each) { changed.append(each.name) }
                }
            }
            if event == .hangup {
                logger.notice(
                    "SIGHUP: files read again",
                    metadata: ["changed": .array(changed.map { .string($0) })])
            }
        }
    }

    @discardableResult
    private func reload(_ each: Reloadable) async -> Bool {
        do throws(ConfigurationError) {
            guard try await each.apply() else { return false }
            logger.notice("\(each.name) reloaded")
            return true
        } catch {
            logger.error(
                "\(each.name) not reloaded; the old value stays: \(error)",
                metadata: ["setting": "\(error.key)"])
            return false
        }
    }

    private static func stamps(_ each: Reloadable) -> [FileStamp?] {
        each.files.map { FileStamp(of: $0) }
    }
}
