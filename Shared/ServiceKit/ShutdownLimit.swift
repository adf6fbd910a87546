import Dispatch
import Foundation
import LogFields
import Logging
import ServiceLifecycle
import Telemetry

/// Ends the process when its services take too long to shut down, so that it is never killed in silence.
///
/// A second SIGTERM or SIGINT changes nothing: what is in flight still finishes. SIGKILL is the way to stop at once.
struct ShutdownLimit: Service {
    /// Counted from the signal.
    let seconds: Int
    let logger: Logger

    func run() async throws {
        guard (try? await gracefulShutdown()) != nil else { return }
        let (seconds, logger) = (seconds, logger)
        // Not by an event loop or a task: one that is stuck is what this is for.
        DispatchQueue.global().asyncAfter(deadline: .now() + .seconds(seconds)) {
            logger.critical(
                "not stopped in time; ending now", metadata: .fields([.seconds: "\(seconds)"]))
            BatchedLogOutput.standardError.flush()
            exit(EX_SOFTWARE)
        }
    }
}
