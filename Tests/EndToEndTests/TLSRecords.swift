import NIOCore

/// Follows TLS records through a stream of bytes, by their headers alone.
struct TLSRecords {
    private static let applicationData: UInt8 = 23
    private static let headerBytes = 5

    /// Bytes in records of application data so far, headers included.
    private(set) var applicationBytes = 0
    private var type: UInt8 = 0
    private var header: [UInt8] = []
    /// Bytes of the record that are still to come after its header.
    private var rest = 0

    /// - Returns: how many of these bytes are application data.
    mutating func read(_ bytes: ByteBuffer) -> Int {
        let before = applicationBytes
        for byte in bytes.readableBytesView {
            if rest > 0 {
                rest -= 1
            } else {
                readHeader(byte)
            }
            if type == Self.applicationData { applicationBytes += 1 }
        }
        return applicationBytes - before
    }

    private mutating func readHeader(_ byte: UInt8) {
        if header.isEmpty { type = byte }
        header.append(byte)
        guard header.count == Self.headerBytes else { return }
        rest = Int(header[3]) << 8 | Int(header[4])
        header = []
    }
}
