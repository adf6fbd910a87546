import LogFields
import Logging
import ServiceLifecycle
import UnixSignals

/// Reads again what is in files: when a file changes, and on SIGHUP.
///
/// Files are polled, not watched by the kernel: container platforms replace secrets through
/// symbolic links and in file systems of other machines, about which this kernel reports nothing.
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
        var watches = reloadables.map { Watched(reloadable: $0, files: FileWatch(Self.stamps($0))) }
        // What changed between its first reading and the first look at its files.
        for index in watches.indices { await reload(&watches[index]) }
        for await event in events {
            var changed: [String] = []
            for index in watches.indices {
                let stamps = Self.stamps(watches[index].reloadable)
                switch event {
                case .look:
                    if watches[index].files.look(stamps) { await reload(&watches[index]) }
                case .hangup:
                    watches[index].files.skip(stamps)
                    watches[index].failure = nil
                    if await reload(&watches[index]) {
                        changed.append(watches[index].reloadable.name)
                    }
                }
            }
            if event == .hangup {
                logger.notice(
                    "SIGHUP: files read again",
                    metadata: .fields([.changed: .array(changed.map { .string($0) })]))
            }
        }
    }

    private struct Watched {
        let reloadable: Reloadable
        var files: FileWatch
        /// Why the last reading failed, so that its repetitions say it once.
        var failure: String?
    }

    @discardableResult
    private func reload(_ watched: inout Watched) async -> Bool {
        let name = watched.reloadable.name
        do throws(ConfigurationError) {
            let isChanged = try await watched.reloadable.apply()
            watched.files.succeeded()
            watched.failure = nil
            if isChanged { logger.notice("\(name) reloaded") }
            return isChanged
        } catch {
            watched.files.failed()
            if watched.failure != "\(error)" {
                logger.error(
                    "\(name) not reloaded; the old value stays: \(error)",
                    metadata: .fields([.setting: "\(error.key)"]))
            }
            watched.failure = "\(error)"
            return false
        }
    }

    private static func stamps(_ each: Reloadable) -> [FileStamp?] {
        each.files.map { FileStamp(of: $0) }
    }
}
