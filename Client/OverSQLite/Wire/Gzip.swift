import CZlib

/// Compresses and decompresses bodies in the gzip format (RFC 1952).
package enum Gzip {
    /// zlib's fastest level: a phone's time is worth more than the last tenth of a body's size.
    private static let level: Int32 = 1
    /// The number of bytes by which the output grows.
    private static let chunkBytes = 64 << 10

    /// Compresses the bytes into one gzip member; nil if zlib is out of memory.
    package static func deflate(_ bytes: [UInt8]) -> [UInt8]? {
        var stream = z_stream()
        guard oversync_deflate_init(&stream, level) == Z_OK else { return nil }
        defer { deflateEnd(&stream) }
        return run(&stream, over: bytes, limit: .max) { CZlib.deflate(&$0, Z_FINISH) }
    }

    /// Decompresses one gzip member; nil if the bytes are not gzip, are cut off, or decompress to
    /// more than `limit` bytes.
    package static func inflate(_ bytes: [UInt8], limit: Int) -> [UInt8]? {
        var stream = z_stream()
        guard oversync_inflate_init(&stream) == Z_OK else { return nil }
        defer { inflateEnd(&stream) }
        return run(&stream, over: bytes, limit: limit) { CZlib.inflate(&$0, Z_NO_FLUSH) }
    }

    /// Whether the bytes start like a gzip member. JSON never does.
    static func isMember(_ bytes: [UInt8]) -> Bool { bytes.starts(with: [0x1F, 0x8B]) }

    /// Calls `step` until the end of the stream.
    private static func run(
        _ stream: inout z_stream, over bytes: [UInt8], limit: Int,
        _ step: (inout z_stream) -> Int32
    ) -> [UInt8]? {
        var result: [UInt8] = []
        return bytes.withUnsafeBufferPointer { input in
            stream.next_in = UnsafeMutablePointer(mutating: input.baseAddress)
            stream.avail_in = UInt32(input.count)
            while true {
                var status: Int32 = Z_OK
                let chunk = [UInt8](unsafeUninitializedCapacity: chunkBytes) { room, count in
                    stream.next_out = room.baseAddress
                    stream.avail_out = UInt32(chunkBytes)
                    status = step(&stream)
                    count = chunkBytes - Int(stream.avail_out)
                }
                result += chunk
                if result.count > limit { return nil }
                if status == Z_STREAM_END { return result }
                // A full chunk means that more output follows. Otherwise the input has ended too
                // early.
                if status != Z_OK || chunk.count < chunkBytes { return nil }
            }
        }
    }
}
