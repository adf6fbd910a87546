extension TransportRequest {
    /// The name of the header in which both sides tell what they know of the history.
    fileprivate static let historyHeader = "Oversync-History"

    /// The request with what the device knows of the server's history, so that a server which knows
    /// less says so.
    func telling(_ history: HistoryPair?) -> TransportRequest {
        guard let history else { return self }
        var request = self
        request.headers[Self.historyHeader] = history.text
        return request
    }
}

extension TransportResponse {
    /// The change by which the device proves later that it knows this history.
    var history: HistoryPair? {
        headers[TransportRequest.historyHeader.lowercased()].flatMap(HistoryPair.init(text:))
    }

    /// The longest wait, in seconds, that a response can ask for. A longer one is a mistake of the
    /// server.
    private static let longestRetryAfter = 86_400

    /// The seconds that the server asks to wait, within limits; nil if it gives none, or a date.
    var retryAfter: Int? {
        headers["retry-after"].flatMap { Int($0) }.map { min(max(0, $0), Self.longestRetryAfter) }
    }
}
