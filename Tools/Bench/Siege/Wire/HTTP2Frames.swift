import NIOCore

/// HTTP/2 (RFC 9113) byte by byte, as far as an attack needs it. A library would open a stream's
/// window again, which an attacker does not.
enum HTTP2 {
    enum FrameType: UInt8 {
        case data = 0
        case headers = 1
        case resetStream = 3
        case settings = 4
        case ping = 6
        case goAway = 7
        case windowUpdate = 8
    }

    /// Of SETTINGS and PING.
    static let acknowledges: UInt8 = 1
    /// Of HEADERS and DATA.
    static let endsStream: UInt8 = 1
    private static let endsHeaders: UInt8 = 4
    static let headerBytes = 9

    private enum Setting {
        static let headerTableSize: UInt16 = 1
        static let enablePush: UInt16 = 2
        static let initialWindowSize: UInt16 = 4
    }

    /// Room for this many bytes more on the connection, so that only the streams' windows stall.
    private static let connectionWindow: UInt32 = 0x7fff_ffff - 65_535

    /// What a client says first. Without a dynamic table, each head can be read by itself.
    ///
    /// - Parameter window: how many bytes each stream may send before it is given more.
    static func greeting(window: UInt32) -> ByteBuffer {
        var bytes = ByteBuffer(string: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        var settings = ByteBuffer()
        for (name, value) in [
            (Setting.headerTableSize, 0), (Setting.enablePush, 0),
            (Setting.initialWindowSize, window),
        ] as [(UInt16, UInt32)] {
            settings.writeInteger(name)
            settings.writeInteger(value)
        }
        write(.settings, stream: 0, settings, to: &bytes)
        write(.windowUpdate, stream: 0, ByteBuffer(integer: connectionWindow), to: &bytes)
        return bytes
    }

    static func write(
        _ type: FrameType, flags: UInt8 = 0, stream: Int, _ payload: ByteBuffer,
        to bytes: inout ByteBuffer
    ) {
        let length = payload.readableBytes
        bytes.writeInteger(UInt8(length >> 16))
        bytes.writeInteger(UInt16(truncatingIfNeeded: length))
        bytes.writeInteger(type.rawValue)
        bytes.writeInteger(flags)
        bytes.writeInteger(UInt32(stream))
        bytes.writeImmutableBuffer(payload)
    }

    /// A request without a body.
    static func get(stream: Int, _ head: ByteBuffer) -> ByteBuffer {
        var bytes = ByteBuffer()
        write(.headers, flags: endsStream | endsHeaders, stream: stream, head, to: &bytes)
        return bytes
    }

    /// A request's head in HPACK (RFC 7541), as literals that no table remembers.
    static func head(_ path: String, token: String) -> ByteBuffer {
        // `:method: GET` and `:scheme: https` of the static table.
        var head = ByteBuffer(bytes: [0x82, 0x87])
        for (name, value) in [
            (":path", path), (":authority", LoadTarget.host), ("authorization", "Bearer \(token)"),
        ] {
            head.writeInteger(UInt8(0))
            write(name, to: &head)
            write(value, to: &head)
        }
        return head
    }

    /// A string without Huffman's code, after its length.
    private static func write(_ text: String, to head: inout ByteBuffer) {
        let most = 127
        var length = text.utf8.count
        if length < most {
            head.writeInteger(UInt8(length))
        } else {
            head.writeInteger(UInt8(most))
            length -= most
            while length >= 128 {
                head.writeInteger(UInt8(length % 128 + 128))
                length /= 128
            }
            head.writeInteger(UInt8(length))
        }
        head.writeString(text)
    }

    /// The status, the first field in an answer's head; nil when it cannot be read.
    static func status(in head: ByteBuffer) -> Int? {
        var head = head
        // A change of the table's size, to 0, may stand before all fields.
        while let first = head.getInteger(at: head.readerIndex, as: UInt8.self), first >> 5 == 1 {
            head.moveReaderIndex(forwardBy: 1)
        }
        guard let first = head.readInteger(as: UInt8.self) else { return nil }
        let known: [UInt8: Int] = [
            0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500,
        ]
        if let status = known[first] { return status }
        // A literal whose name, `:status`, is the static table's from 8 to 14.
        let name = first & 0xc0 == 0x40 ? first & 0x3f : first & 0x0f
        guard first & 0x80 == 0, (8...14).contains(name),
            let length = head.readInteger(as: UInt8.self),
            let value = head.readBytes(length: Int(length & 0x7f))
        else { return nil }
        return length & 0x80 == 0
            ? Int(String(decoding: value, as: UTF8.self)) : HuffmanDigits.number(value)
    }
}

/// Numbers in HPACK's Huffman code: 0 to 2 have five bits, the other digits six.
enum HuffmanDigits {
    static func number(_ bytes: [UInt8]) -> Int? {
        let bits = bytes.flatMap { byte in (0..<8).reversed().map { Int(byte >> $0 & 1) } }
        func value(_ bits: ArraySlice<Int>) -> Int { bits.reduce(0) { $0 * 2 + $1 } }
        var rest = bits[...]
        var number: Int?
        // What is shorter than a digit fills the last byte, with ones.
        while rest.count >= 5, !rest.allSatisfy({ $0 == 1 }) {
            let short = value(rest.prefix(5))
            let digit = short < 3 ? short : value(rest.prefix(6)) - 22
            guard (0...9).contains(digit), short < 3 || rest.count >= 6 else { return nil }
            number = (number ?? 0) * 10 + digit
            rest = rest.dropFirst(short < 3 ? 5 : 6)
        }
        return number
    }
}

/// Cuts the bytes of a connection into frames.
struct HTTP2Framer {
    struct Frame {
        /// As it was sent: types that an attack does not know are passed over.
        let type: UInt8
        let flags: UInt8
        let stream: Int
        let payload: ByteBuffer

        func isA(_ type: HTTP2.FrameType) -> Bool { self.type == type.rawValue }

        var endsStream: Bool {
            isA(.resetStream) || (isA(.headers) || isA(.data)) && flags & HTTP2.endsStream != 0
        }
    }

    private var bytes = ByteBuffer()

    mutating func append(_ more: ByteBuffer) {
        if bytes.readableBytes == 0 {
            bytes = more
        } else {
            bytes.discardReadBytes()
            bytes.writeImmutableBuffer(more)
        }
    }

    /// The next whole frame; nil when there is none yet.
    mutating func next() -> Frame? {
        let start = bytes.readerIndex
        guard bytes.readableBytes >= HTTP2.headerBytes,
            let high = bytes.getInteger(at: start, as: UInt8.self),
            let low = bytes.getInteger(at: start + 1, as: UInt16.self),
            let type = bytes.getInteger(at: start + 3, as: UInt8.self),
            let flags = bytes.getInteger(at: start + 4, as: UInt8.self),
            let stream = bytes.getInteger(at: start + 5, as: UInt32.self),
            let payload = bytes.getSlice(
                at: start + HTTP2.headerBytes, length: Int(high) << 16 | Int(low))
        else { return nil }
        bytes.moveReaderIndex(forwardBy: HTTP2.headerBytes + payload.readableBytes)
        return Frame(
            type: type, flags: flags, stream: Int(stream & 0x7fff_ffff), payload: payload)
    }

    /// What the protocol wants to be answered to a frame; nil for most.
    static func reply(to frame: Frame) -> ByteBuffer? {
        guard frame.flags & HTTP2.acknowledges == 0 else { return nil }
        var reply = ByteBuffer()
        if frame.isA(.settings) {
            HTTP2.write(
                .settings, flags: HTTP2.acknowledges, stream: 0, ByteBuffer(), to: &reply)
        } else if frame.isA(.ping) {
            HTTP2.write(
                .ping, flags: HTTP2.acknowledges, stream: 0, frame.payload, to: &reply)
        }
        return reply.readableBytes > 0 ? reply : nil
    }
}
