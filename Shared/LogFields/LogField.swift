import Logging

/// The name of a field in the services' log lines: one name for each thing, in every service.
/// Operators search for these names, so they stay as they are.
package enum LogField: String, CaseIterable, Sendable {
    // Who asked for what.
    /// The same in the lines of every service that took part in a request.
    case requestID = "request_id"
    case traceparent
    /// A hash of the user: a log names no person.
    case user
    /// The device; the place of a setting, in the line about one that is wrong.
    case source
    case roles
    case method
    case route
    case status

    // How it went.
    /// Whole milliseconds that a request took.
    case milliseconds = "ms"
    case error
    /// PostgreSQL's error that caused the one that the caller got.
    case cause
    case sqlState = "sqlstate"
    case table
    case reason
    case problems
    case notice
    case bytesIn = "bytes_in"
    case bytesOut = "bytes_out"

    // What an upload came to.
    case changes
    case applied
    case duplicates
    case conflicts
    case invalid
    case materializeErrors = "materialize_errors"
    /// The first and the last sequence that it took.
    case sequences = "seq"

    // What a download came to.
    case after
    case nextAfter = "next_after"
    case until
    case limit
    case hasMore = "has_more"
    case rows
    /// Rows that are too large for devices.
    case leftOut = "left_out"

    // Sockets, replicas and keys.
    /// The service that a call goes to.
    case service
    case path
    case peerUser = "uid"
    case replica
    case callsInFlight = "calls_in_flight"
    case requests
    case address
    case port
    case keyID = "kid"
    case seconds

    // The process.
    case processID = "pid"
    case version
    case commit
    case component
    case setting
    case changed
    case moreProblems = "more_problems"
    case hint
    case pooling
    /// What a setting says, in addition to what was found.
    case told
}

extension Logger.Metadata {
    /// The fields of a log line.
    package static func fields(
        _ fields: KeyValuePairs<LogField, Logger.MetadataValue>
    ) -> Logger.Metadata {
        var metadata = Logger.Metadata(minimumCapacity: fields.count)
        for (field, value) in fields { metadata[field] = value }
        return metadata
    }

    package subscript(_ field: LogField) -> Logger.MetadataValue? {
        get { self[field.rawValue] }
        set { self[field.rawValue] = newValue }
    }
}
