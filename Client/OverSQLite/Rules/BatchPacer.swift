/// How much goes into one upload.
///
/// The number of changes is halved when the server finds it too much, and grown again after, since
/// it may have been one busy moment. The bytes are halved for good: what stands in the way is a
/// fixed limit, of the gateway or of a proxy before it.
struct BatchPacer {
    private(set) var largest: Int
    private(set) var limit: Int
    /// Bytes after which no further change joins.
    private(set) var bytes: Int

    init(largest: Int, bytes: Int = 4 << 20) {
        self.largest = max(1, largest)
        self.bytes = max(1, bytes)
        limit = self.largest
    }

    /// The server has told its limits.
    mutating func keep(within limits: Capabilities.Limits) {
        largest = max(1, min(largest, limits.changesPerUpload ?? largest))
        limit = min(limit, largest)
        if let told = limits.bytesPerBody {
            bytes = max(1, min(bytes, max(told, Self.envelopeBytes) - Self.envelopeBytes))
        }
    }

    /// Most bytes of an upload beside its changes.
    private static let envelopeBytes = 128

    /// The server found the changes too many.
    mutating func shrink(sent: Int) { limit = max(1, min(limit, sent) / 2) }

    /// The server found the body too large.
    mutating func shrink(bytesSent: Int) { bytes = max(1, min(bytes, bytesSent) / 2) }

    mutating func grow() { limit = min(largest, limit * 2) }
}
