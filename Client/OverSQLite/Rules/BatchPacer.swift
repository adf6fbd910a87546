/// How much goes into one upload.
///
/// If the server answers that there are too many changes, their number is halved; it grows again
/// later, because the server may only have been busy. If an upload took longer than a request may,
/// the number is halved too, and stays so for a while: each attempt costs the time of a whole
/// request. If the body is too large, the size is halved
/// for good, because the limit of the gateway, or of a proxy before it, does not change.
struct BatchPacer {
    private(set) var largest: Int
    private(set) var limit: Int
    /// The size in bytes beyond which no further change is added.
    private(set) var bytes: Int
    /// How many answers are still awaited before the number grows again.
    private var answersBeforeGrowth = 0

    init(largest: Int, bytes: Int = 4 << 20) {
        self.largest = max(1, largest)
        self.bytes = max(1, bytes)
        limit = self.largest
    }

    /// Applies the limits that the server announced.
    mutating func keep(within limits: Capabilities.Limits) {
        largest = max(1, min(largest, limits.changesPerUpload ?? largest))
        limit = min(limit, largest)
        if let told = limits.bytesPerBody {
            bytes = max(1, min(bytes, max(told, Self.envelopeBytes) - Self.envelopeBytes))
        }
    }

    /// Upper bound for the bytes of an upload outside its changes.
    private static let envelopeBytes = 128

    /// Halves the number of changes: the server found them too many.
    mutating func shrink(sent: Int) { limit = max(1, min(limit, sent) / 2) }

    /// The answers in time after which an upload may be larger again.
    private static let answersAfterDeadline = 8

    /// Halves the number of changes: the upload took longer than a request may.
    mutating func shrink(late sent: Int) {
        shrink(sent: sent)
        answersBeforeGrowth = Self.answersAfterDeadline
    }

    /// Halves the size: the server found the body too large.
    mutating func shrink(bytesSent: Int) { bytes = max(1, min(bytes, bytesSent) / 2) }

    /// Doubles the number of changes: the server answered as it should.
    mutating func grow() {
        if answersBeforeGrowth > 0 {
            answersBeforeGrowth -= 1
            return
        }
        limit = limit > largest / 2 ? largest : limit * 2
    }
}
