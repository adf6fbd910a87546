import NIOCore
import Protos
import SwiftProtobuf

/// One frame: see `frame.proto` for its layout. `message` and `body` are slices of what was
/// received, not copies.
struct Frame {
    var header: WireFrameHeader
    var message = ByteBuffer()
    var body = ByteBuffer()
}

/// What a peer sent is no frame. The connection cannot go on after it.
enum FrameError: Error, Hashable, CustomStringConvertible {
    case tooLarge(bytes: Int, limit: Int)
    case malformed

    var description: String {
        switch self {
        case .tooLarge(let bytes, let limit): "a frame of \(bytes) bytes, the limit is \(limit)"
        case .malformed: "a malformed frame"
        }
    }
}

extension Frame {
    /// Bytes of the two lengths before the header.
    static let prefixBytes = 8
    /// A body up to this size is copied after its header; a larger one is written by itself.
    static let copiedBodyBytes = 4096

    /// A frame that is header only.
    static func control(_ kind: WireFrameKind, call: UInt32) -> Frame {
        var header = WireFrameHeader()
        header.kind = kind
        header.callID = call
        return Frame(header: header)
    }

    /// The frame as it goes out: head, and the body unless the head already holds it.
    ///
    /// - Throws: `FrameError.tooLarge` when the receiver would refuse it.
    func encode(
        limit: Int, allocator: ByteBufferAllocator
    ) throws(FrameError) -> (head: ByteBuffer, body: ByteBuffer?) {
        var header = header
        header.messageSize = UInt32(clamping: message.readableBytes)
        // A header of strings and numbers cannot fail to encode.
        guard let bytes: [UInt8] = try? header.serializedBytes() else { throw .malformed }
        let rest = 4 + bytes.count + message.readableBytes + body.readableBytes
        guard rest <= limit else { throw .tooLarge(bytes: rest, limit: limit) }
        let copies = body.readableBytes <= Self.copiedBodyBytes
        let size = copies ? rest : rest - body.readableBytes
        var head = allocator.buffer(capacity: 4 + size)
        head.writeMultipleIntegers(UInt32(rest), UInt32(bytes.count))
        head.writeBytes(bytes)
        head.writeImmutableBuffer(message)
        if copies { head.writeImmutableBuffer(body) }
        return (head, copies ? nil : body)
    }
}

extension SwiftProtobuf.Message {
    /// The message as the bytes that a frame carries.
    func encodedForFrame() throws -> ByteBuffer {
        let bytes: [UInt8] = try serializedBytes()
        return ByteBuffer(bytes: bytes)
    }

    /// - Throws: `BinaryDecodingError` when the bytes are no such message.
    init(frameBytes: ByteBuffer) throws {
        try self.init(serializedBytes: Array(frameBytes.readableBytesView))
    }
}
