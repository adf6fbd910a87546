import Model

/// Keeps an answer within what one call can carry.
enum AnswerRoom {
    /// The outcomes with as many server rows as there is room for. A conflict whose row does not
    /// fit is answered `batch_too_large`, since nothing was done for it: the device keeps the edit
    /// and sends it again in a smaller batch, where the row does fit.
    ///
    /// - Parameter limit: bytes of payloads, unless the first server row has more.
    static func fitting(
        _ outcomes: [ChangeVerdict], limit: Int = WireLimits.payloadBytesPerAnswer
    ) -> [ChangeVerdict] {
        var bytes = 0
        return outcomes.map { outcome in
            guard case .conflict(let row) = outcome else { return outcome }
            guard let payload = row.payload else {
                // Of rows that do not fit the payload was not even read.
                return row.isDeleted ? outcome : .invalid(.answerFull(limit: limit))
            }
            let isFirst = bytes == 0
            bytes += payload.count
            return isFirst || bytes <= limit ? outcome : .invalid(.answerFull(limit: limit))
        }
    }
}
