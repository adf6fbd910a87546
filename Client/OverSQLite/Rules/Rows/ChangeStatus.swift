/// The server's answer about one change.
enum ChangeStatus {
    /// `version` is nil if a server answers a repeat without it.
    case applied(version: Int64?)
    /// `row` is nil with the oldest servers.
    case conflict(row: RemoteRow?)
    case invalid(Rejection)
    case materializeError(message: String?)
    /// Another change of an all-or-nothing batch failed, or this library does not know the status.
    case other(String)
}
