import Foundation
import Logging

/// Log lines for a person at a terminal: the message, then its metadata.
package struct ConsoleLogHandler: LogHandler {
    package var logLevel: Logger.Level = .info
    package var metadata: Logger.Metadata = [:]

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { _, new in new }
        let details = all.sorted { $0.key < $1.key }.map { " \($0.key)=\($0.value)" }.joined()
        let prefix = event.level >= .warning ? "\(event.level): " : ""
        FileHandle.standardError.write(Data("\(prefix)\(event.message)\(details)\n".utf8))
    }

    /// A command's own log.
    package static func logger(_ level: Logger.Level = .info) -> Logger {
        Logger(label: "oversync") { _ in
            var handler = ConsoleLogHandler()
            handler.logLevel = level
            return handler
        }
    }
}
