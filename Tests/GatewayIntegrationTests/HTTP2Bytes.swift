import NIOCore

/// What an HTTP/2 client says, frame by frame, for clients that no library is.
enum HTTP2Bytes {
    /// The beginning of a connection, with room for this many bytes of each answer's body.
    static func preface(window: UInt32) -> ByteBuffer {
        var bytes = ByteBuffer(string: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        var settings = ByteBuffer()
        settings.writeInteger(UInt16(4))  // SETTINGS_INITIAL_WINDOW_SIZE
        settings.writeInteger(window)
        write(settings, type: 4, flags: 0, stream: 0, to: &bytes)
        return bytes
    }

    /// A whole request without a body.
    static func get(
        _ path: String, token: String, stream: UInt32, method: String = "GET"
    ) -> ByteBuffer {
        var headers = ByteBuffer()
        let fields = [
            (":method", method), (":scheme", "https"), (":authority", "localhost"),
            (":path", path), ("authorization", "Bearer \(token)"),
        ]
        for (name, value) in fields {
            // A literal that is not indexed, with its name (RFC 7541, 6.2.2).
            headers.writeInteger(UInt8(0))
            write(name, to: &headers)
            write(value, to: &headers)
        }
        var bytes = ByteBuffer()
        // END_STREAM and END_HEADERS.
        write(headers, type: 1, flags: 0x1 | 0x4, stream: stream, to: &bytes)
        return bytes
    }

    /// The end of a stream whose client wants no answer any more.
    static func reset(stream: UInt32) -> ByteBuffer {
        var bytes = ByteBuffer()
        // RST_STREAM with CANCEL.
        write(ByteBuffer(integer: UInt32(8)), type: 3, flags: 0, stream: stream, to: &bytes)
        return bytes
    }

    /// The types and streams of the frames that bytes hold; takes them out.
    static func frames(_ bytes: inout ByteBuffer) -> [(type: UInt8, stream: UInt32)] {
        var frames: [(type: UInt8, stream: UInt32)] = []
        while let head = bytes.getInteger(at: bytes.readerIndex, as: UInt32.self),
            bytes.readableBytes >= 9 + Int(head >> 8)
        {
            let stream = bytes.getInteger(at: bytes.readerIndex + 5, as: UInt32.self) ?? 0
            frames.append((UInt8(head & 0xFF), stream & 0x7FFF_FFFF))
            bytes.moveReaderIndex(forwardBy: 9 + Int(head >> 8))
        }
        return frames
    }

    private static func write(
        _ payload: ByteBuffer, type: UInt8, flags: UInt8, stream: UInt32, to bytes: inout ByteBuffer
    ) {
        bytes.writeInteger(UInt32(payload.readableBytes) << 8 | UInt32(type))
        bytes.writeInteger(flags)
        bytes.writeInteger(stream)
        bytes.writeImmutableBuffer(payload)
    }

    /// A text as it is, with its length before it (RFC 7541, 5.1 and 5.2).
    private static func write(_ text: String, to bytes: inout ByteBuffer) {
        var length = text.utf8.count
        if length < 127 {
            bytes.writeInteger(UInt8(length))
        } else {
            bytes.writeInteger(UInt8(127))
            length -= 127
            while length >= 128 {
                bytes.writeInteger(UInt8(length & 127 | 128))
                length >>= 7
            }
            bytes.writeInteger(UInt8(length))
        }
        bytes.writeString(text)
    }
}
