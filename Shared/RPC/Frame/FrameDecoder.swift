import NIOCore
import Protos
import SwiftProtobuf

/// Cuts received bytes into frames, without copying those that arrived whole.
struct FrameDecoder {
    private let limit: Int
    private var buffer = ByteBuffer()
    /// Whether nobody else holds a slice of `buffer`: appending to it then copies nothing.
    private var isUnshared = false

    /// - Parameter limit: bytes of a frame; a longer one is an error as soon as its length is read.
    init(limit: Int) {
        self.limit = limit
    }

    /// Adds bytes that were received.
    mutating func append(_ bytes: ByteBuffer) {
        let readable = buffer.readableBytes + bytes.readableBytes
        let wanted = max(readable, min(frameSize ?? 0, 4 + limit))
        if buffer.readableBytes == 0 {
            buffer = bytes
            isUnshared = false
        } else if isUnshared, buffer.writableBytes >= bytes.readableBytes {
            buffer.writeImmutableBuffer(bytes)
        } else {
            // Room for the whole frame at once: growing by doubling copies a large one repeatedly.
            var roomy = ByteBufferAllocator().buffer(capacity: wanted)
            roomy.writeImmutableBuffer(buffer)
            roomy.writeImmutableBuffer(bytes)
            buffer = roomy
            isUnshared = true
        }
    }

    /// The next whole frame, or nil until more bytes are there.
    mutating func next() throws(FrameError) -> Frame? {
        guard let size = frameSize else { return nil }
        guard size - 4 <= limit else { throw .tooLarge(bytes: size - 4, limit: limit) }
        guard buffer.readableBytes >= size else { return nil }
        buffer.moveReaderIndex(forwardBy: 4)
        guard var frame = buffer.readSlice(length: size - 4) else { throw .malformed }
        isUnshared = false
        if buffer.readableBytes == 0 { buffer = ByteBuffer() }
        guard
            let headerSize = frame.readInteger(as: UInt32.self),
            let headerBytes = frame.readBytes(length: Int(headerSize)),
            let header = try? WireFrameHeader(serializedBytes: headerBytes),
            let message = frame.readSlice(length: Int(header.messageSize))
        else { throw .malformed }
        return Frame(header: header, message: message, body: frame)
    }

    /// Bytes of the frame at the front, with its length, once that has been received.
    private var frameSize: Int? {
        buffer.getInteger(at: buffer.readerIndex, as: UInt32.self).map { 4 + Int($0) }
    }
}
