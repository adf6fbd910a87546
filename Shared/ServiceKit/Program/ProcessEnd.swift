import Foundation
import LogFields
import Logging
import RPC
import ServiceLifecycle
import Synchronization
import Telemetry

extension ServiceProcess {
    /// Held by the first that ends the process, for good: one cause, one line.
    private static let ending = Mutex(())
    /// The process has received its stop signal. Its services shut down one after the other.
    private static let isStopping = Atomic<Bool>(false)

    /// From now on a service that fails does not end the process at once: others may still be answering.
    static func recordStop() { isStopping.store(true, ordering: .releasing) }

    static var wasStopped: Bool { isStopping.load(ordering: .acquiring) }

    /// Ends the process with one line that names the setting, where its value comes from, and what to do.
    ///
    /// - Parameter more: further problems that `--check` lists.
    func refuse(_ error: ConfigurationError, more: Int = 0) -> Never {
        var metadata: Logger.Metadata = .fields([
            .setting: "\(error.key)",
            .source: "\(configuration.source(of: error.key, among: program.allSettings))",
        ])
        if more > 0 {
            metadata[.moreProblems] = .stringConvertible(more)
            metadata[.hint] = "\(name) --check lists all"
        }
        end(ExitCode.configuration, "wrong configuration: \(error)", metadata)
    }

    /// Ends the process because a component cannot run.
    func end(because error: any Error, in component: String) -> Never {
        switch error {
        case let error as ConfigurationError: refuse(error)
        case let error as SocketError:
            let replica = (try? configuration.value(CommonSettings.replica)) ?? ""
            refuse(ConfigurationError(error, replica: replica))
        default:
            end(
                ExitCode.defect, "internal defect: a component failed",
                ["component": "\(component)", "error": "\(error)"])
        }
    }

    private func end(_ code: Int32, _ message: String, _ metadata: Logger.Metadata) -> Never {
        Self.ending.withLock { _ in
            logger.critical("\(message)", metadata: metadata)
            BatchedLogOutput.standardError.flush()
            // Not exit(): other threads run on, and nothing here has work to do at the end.
            _exit(code)
        }
    }
}

/// Ends the process as soon as one of its services fails or ends by itself: the others could serve nothing without it,
/// and would notice it late while they wait for a database.
struct EssentialService: Service {
    let service: any Service
    let process: ServiceProcess

    /// It ended without being told to.
    private struct EndedEarly: Error, CustomStringConvertible {
        let description = "ended by itself"
    }

    func run() async throws {
        do {
            try await service.run()
            guard !isEnding else { return }
            throw EndedEarly()
        } catch {
            guard isEnding else { process.end(because: error, in: "\(type(of: service))") }
            guard !(error is CancellationError) else { return }
            // The process ends anyway, in the order of its service group.
            process.logger.warning(
                "a component failed while the process ended",
                metadata: .fields([.component: "\(type(of: service))", .error: "\(error)"]))
        }
    }

    private var isEnding: Bool {
        ServiceProcess.wasStopped || Task.isShuttingDownGracefully || Task.isCancelled
    }
}
