/// What the server says about one change.
enum ChangeStatus {
    /// `version` is absent from servers that answer a repeat without it.
    case applied(version: Int64?)
    /// `row` is absent from the oldest servers.
    case conflict(row: RemoteRow?)
    case invalid(Rejection)
    case materializeError(message: String?)
    /// Another change of an all-or-nothing batch failed, or a word this client does not know.
    case other(String)
}
