import Foundation

/// What the program's end tells a supervisor. Codes of `sysexits.h`.
package enum ExitCode {
    /// Stopped by a signal, or done.
    package static let done: Int32 = EX_OK
    /// `--health`: not ready.
    static let notReady: Int32 = 1
    /// Called with options that it does not have.
    static let misuse: Int32 = EX_USAGE
    /// A component failed for a reason that is not in the configuration.
    package static let defect: Int32 = EX_SOFTWARE
    /// The configuration must be changed; starting again does not help.
    package static let configuration: Int32 = EX_CONFIG
}
