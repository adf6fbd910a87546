import CLibPQ
import LogFields
import Logging

/// Writes what the server remarks to the log, at debug level.
final class NoticeSink: Sendable {
    private let logger: Logger

    init(logger: Logger) {
        self.logger = logger
    }

    /// libpq's callback; its argument is ``pointer``.
    static let processor: PQnoticeProcessor = { context, message in
        guard let context, let message else { return }
        let sink = Unmanaged<NoticeSink>.fromOpaque(context).takeUnretainedValue()
        sink.logger.debug(
            "postgres notice", metadata: .fields([.notice: "\(String(cString: message))"]))
    }

    /// Valid as long as this object is; the channel that owns both ends the connection first.
    var pointer: UnsafeMutableRawPointer {
        Unmanaged.passUnretained(self).toOpaque()
    }
}
