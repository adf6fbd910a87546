import NIOCore
import Protos
import SwiftProtobuf

/// Cuts received bytes into frames, without copying those that arrived whole.
///
/// A frame lives as long as its body, and keeps the storage that it lies in: its own, or one that
/// is not much larger than the frame: the bytes of a body are what it keeps in memory.
struct FrameDecoder {
    /// Bytes before a frame that say how long it is.
    private static let lengthBytes = 4

    private let limit: Int
    /// What was received and not cut yet.
    private var received = ByteBuffer()
    /// The beginning of a frame that did not arrive whole, in storage of its own.
    private var partial = ByteBuffer()

    /// - Parameter limit: bytes of a frame; a longer one is an error as soon as its length is read.
    init(limit: Int) {
        self.limit = limit
    }

    /// Adds bytes that were received.
    mutating func append(_ bytes: ByteBuffer) {
        if received.readableBytes == 0 {
            received = bytes
        } else {
            received.writeImmutableBuffer(bytes)
        }
    }

    /// The next whole frame, or nil until more bytes are there.
    mutating func next() throws(FrameError) -> Frame? {
        if partial.readableBytes == 0 {
            guard let size = try size(of: received) else { return keepRest(capacity: 0) }
            guard received.readableBytes >= size else { return keepRest(capacity: size) }
            guard let frame = received.readSlice(length: size) else { throw .malformed }
            if received.readableBytes == 0 { received = ByteBuffer() }
            return try cut(frame.withoutSpareStorage())
        }
        fill(to: Self.lengthBytes)
        guard let size = try size(of: partial) else { return nil }
        // Room for the whole frame at once: growing by doubling copies a large one repeatedly.
        partial.reserveCapacity(size)
        fill(to: size)
        guard partial.readableBytes == size else { return nil }
        defer { partial = ByteBuffer() }
        return try cut(partial)
    }

    /// Keeps the beginning of a frame, until the rest of it is received.
    private mutating func keepRest(capacity: Int) -> Frame? {
        guard received.readableBytes > 0 else { return nil }
        partial = ByteBufferAllocator().buffer(capacity: max(capacity, received.readableBytes))
        partial.writeBuffer(&received)
        received = ByteBuffer()
        return nil
    }

    /// Takes no more into the frame at the front than belongs to it.
    private mutating func fill(to size: Int) {
        let missing = min(size - partial.readableBytes, received.readableBytes)
        guard missing > 0, var bytes = received.readSlice(length: missing) else { return }
        partial.writeBuffer(&bytes)
        if received.readableBytes == 0 { received = ByteBuffer() }
    }

    /// - Parameter frame: with its length at the front.
    private func cut(_ frame: ByteBuffer) throws(FrameError) -> Frame {
        var frame = frame
        frame.moveReaderIndex(forwardBy: Self.lengthBytes)
        guard
            let headerSize = frame.readInteger(as: UInt32.self),
            let headerBytes = frame.readBytes(length: Int(headerSize)),
            let header = try? WireFrameHeader(serializedBytes: headerBytes),
            let message = frame.readSlice(length: Int(header.messageSize))
        else { throw .malformed }
        return Frame(header: header, message: message, body: frame)
    }

    /// Bytes of the frame at the front, with its length, once that has been received.
    private func size(of buffer: ByteBuffer) throws(FrameError) -> Int? {
        guard let rest = buffer.getInteger(at: buffer.readerIndex, as: UInt32.self) else {
            return nil
        }
        guard Int(rest) <= limit else { throw .tooLarge(bytes: Int(rest), limit: limit) }
        return Self.lengthBytes + Int(rest)
    }
}

extension ByteBuffer {
    /// Storage up to this size is kept by any slice of it: that of most receptions.
    package static let smallStorageBytes = 4 << 10
    /// How many times as large as a slice the storage may be that it keeps.
    package static let mostSpareStorage = 4

    /// The same bytes, which keep no storage that is much larger than they are: copied if they lie
    /// in one.
    package func withoutSpareStorage() -> ByteBuffer {
        let kept = storageCapacity
        guard kept > Self.smallStorageBytes, kept > Self.mostSpareStorage * readableBytes else {
            return self
        }
        var own = ByteBufferAllocator().buffer(capacity: readableBytes)
        own.writeImmutableBuffer(self)
        return own
    }
}
