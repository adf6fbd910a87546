import Dispatch
import Foundation

/// Ends this process in good order when its standard input ends.
///
/// `oversync-dev dev` holds the other end of it: however that process dies, its services do not outlive it.
package enum ParentWatch {
    package static let setting = Setting.flag(
        "OVERSYNC_STOP_WITH_STDIN",
        "true ends the service when its standard input ends (set by oversync-dev dev)")

    /// Keeps watching for as long as the returned value lives.
    static func start(_ configuration: Configuration) throws(ConfigurationError) -> (
        any DispatchSourceRead
    )? {
        guard try configuration.value(setting) else { return nil }
        let source = DispatchSource.makeReadSource(fileDescriptor: STDIN_FILENO)
        source.setEventHandler {
            var byte: UInt8 = 0
            if read(STDIN_FILENO, &byte, 1) <= 0 {
                source.cancel()
                kill(getpid(), SIGTERM)
            }
        }
        source.resume()
        return source
    }
}
