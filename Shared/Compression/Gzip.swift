import CZlib
import NIOCore

/// A body that is no gzip stream, or one that grows over its limit.
package enum GzipError: Error, Hashable, Sendable {
    case corrupt
    case truncated
    case tooLarge(limit: Int)
    /// The result would be larger than the caller allows.
    case noRoom
}

/// Bodies in the gzip format (RFC 1952).
package enum Gzip {
    /// Bytes written in one step.
    private static let chunkBytes = 64 << 10
    /// zlib's fastest: bodies go over a network once, and the gateway's time is dearer than their last tenth.
    private static let level: Int32 = 1

    /// The contents of one or more gzip members, one after the other.
    ///
    /// - Parameters:
    ///   - limit: most bytes of the result. Memory stays within it, whatever the body claims.
    ///   - mayTake: is asked before the result takes more memory, with all the bytes that it takes
    ///     then; false ends it.
    package static func inflate(
        _ body: ByteBuffer, limit: Int, mayTake: (Int) -> Bool = { _ in true }
    ) throws(GzipError) -> ByteBuffer {
        var stream = z_stream()
        guard oversync_inflate_init(&stream) == Z_OK else { throw .corrupt }
        defer { inflateEnd(&stream) }
        var output = ByteBuffer()
        let failure: GzipError? = body.withUnsafeReadableBytes { input in
            stream.feed(input)
            while true {
                if output.writableBytes < chunkBytes {
                    // Twice as much each time: a large body asks a few times only.
                    let capacity = max(2 * output.capacity, chunkBytes)
                    guard mayTake(min(capacity, limit + chunkBytes)) else { return .noRoom }
                    output.reserveCapacity(capacity)
                }
                let (status, written) = output.append { inflate(&stream, Z_NO_FLUSH, into: $0) }
                guard output.readableBytes <= limit else { return .tooLarge(limit: limit) }
                switch status {
                case Z_STREAM_END where stream.avail_in == 0: return nil
                case Z_STREAM_END:
                    guard inflateReset(&stream) == Z_OK else { return .corrupt }
                case Z_OK where stream.avail_in > 0 || written == chunkBytes: continue
                case Z_OK, Z_BUF_ERROR: return .truncated
                default: return .corrupt
                }
            }
        }
        if let failure { throw failure }
        return output
    }

    /// The body as one gzip member; nil if zlib is out of memory.
    package static func deflate(_ body: ByteBuffer) -> ByteBuffer? {
        var stream = z_stream()
        guard oversync_deflate_init(&stream, level) == Z_OK else { return nil }
        defer { deflateEnd(&stream) }
        var output = ByteBuffer()
        let isWhole = body.withUnsafeReadableBytes { input in
            stream.feed(input)
            while true {
                let (status, _) = output.append { deflate(&stream, Z_FINISH, into: $0) }
                if status == Z_STREAM_END { return true }
                if status != Z_OK { return false }
            }
        }
        return isWhole ? output : nil
    }

    private static func inflate(
        _ stream: inout z_stream, _ flush: Int32, into room: UnsafeMutableRawBufferPointer
    ) -> (status: Int32, written: Int) {
        step(&stream, into: room) { CZlib.inflate(&$0, flush) }
    }

    private static func deflate(
        _ stream: inout z_stream, _ flush: Int32, into room: UnsafeMutableRawBufferPointer
    ) -> (status: Int32, written: Int) {
        step(&stream, into: room) { CZlib.deflate(&$0, flush) }
    }

    private static func step(
        _ stream: inout z_stream, into room: UnsafeMutableRawBufferPointer,
        _ work: (inout z_stream) -> Int32
    ) -> (status: Int32, written: Int) {
        stream.next_out = room.baseAddress?.assumingMemoryBound(to: UInt8.self)
        stream.avail_out = UInt32(chunkBytes)
        let status = work(&stream)
        return (status, chunkBytes - Int(stream.avail_out))
    }
}

extension z_stream {
    /// Makes these bytes the input. They must outlive its use.
    fileprivate mutating func feed(_ input: UnsafeRawBufferPointer) {
        let start = input.bindMemory(to: UInt8.self).baseAddress
        next_in = UnsafeMutablePointer(mutating: start)
        avail_in = UInt32(input.count)
    }
}

extension ByteBuffer {
    /// Gives room for one step, and keeps what was written there.
    fileprivate mutating func append(
        _ work: (UnsafeMutableRawBufferPointer) -> (status: Int32, written: Int)
    ) -> (status: Int32, written: Int) {
        var result: (status: Int32, written: Int) = (0, 0)
        writeWithUnsafeMutableBytes(minimumWritableBytes: 64 << 10) { room in
            result = work(room)
            return result.written
        }
        return result
    }
}
