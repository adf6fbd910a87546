import NIOCore
import Testing

@testable import Bench

@Suite("HTTP/2 as an attacker speaks it")
struct HTTP2Tests {
    @Test(
        "A status is read from a known field, a literal, and Huffman's code",
        arguments: [
            ([0x88], 200), ([0x20, 0x8d, 0x51], 404), ([0x08, 0x03, 0x35, 0x30, 0x33], 503),
            ([0x20, 0x48, 0x03, 0x34, 0x32, 0x39], 429),
            // 4, 2, 9: 011010 00010 011111, and ones to the byte's end.
            ([0x48, 0x83, 0x68, 0x4f, 0xff], 429),
            // 5, 0, 3: 011011 00000 011001.
            ([0x48, 0x83, 0x6c, 0x0c, 0xff], 503),
            // As the gateway sends it.
            ([0x48, 0x82, 0x68, 0x01], 401),
            ([0x40, 0x01, 0x61, 0x01, 0x62], nil), ([], nil),
        ] as [([UInt8], Int?)])
    func status(_ head: [UInt8], _ expected: Int?) {
        #expect(HTTP2.status(in: ByteBuffer(bytes: head)) == expected)
    }

    @Test("Frames are cut out of the bytes wherever these are split")
    func framing() throws {
        var text = ByteBuffer()
        HTTP2.write(.headers, flags: 4, stream: 1, ByteBuffer(bytes: [0x88]), to: &text)
        HTTP2.write(.data, flags: 1, stream: 1, ByteBuffer(repeating: 7, count: 300), to: &text)
        HTTP2.write(.resetStream, stream: 3, ByteBuffer(integer: UInt32(8)), to: &text)
        for size in 1...text.readableBytes {
            var framer = HTTP2Framer()
            var rest = text
            var frames: [HTTP2Framer.Frame] = []
            while rest.readableBytes > 0 {
                let part = rest.readSlice(length: min(size, rest.readableBytes))
                framer.append(try #require(part))
                while let frame = framer.next() { frames.append(frame) }
            }
            #expect(frames.map(\.stream) == [1, 1, 3])
            #expect(frames.map(\.payload.readableBytes) == [1, 300, 4])
            #expect(frames.map(\.endsStream) == [false, true, true])
        }
    }

    @Test("An answer is told once its stream ends, and settings and pings are acknowledged")
    func wire() throws {
        var wire = HTTP2Wire(head: HTTP2.head("/", token: "a"))
        var bytes = ByteBuffer()
        HTTP2.write(.settings, stream: 0, ByteBuffer(), to: &bytes)
        HTTP2.write(.ping, stream: 0, ByteBuffer(repeating: 1, count: 8), to: &bytes)
        HTTP2.write(.headers, flags: 4, stream: 1, ByteBuffer(bytes: [0x88]), to: &bytes)
        let early = try wire.take(bytes)
        #expect(early.isEmpty)
        let replies = [wire.reply(), wire.reply()]
        #expect(replies.map { $0?.readableBytes } == [2 * HTTP2.headerBytes + 8, nil])
        var end = ByteBuffer()
        HTTP2.write(.data, flags: 1, stream: 1, ByteBuffer(), to: &end)
        let answers = try wire.take(end)
        #expect(answers.map(\.status) == [200])
        var goodbye = ByteBuffer()
        HTTP2.write(.goAway, stream: 0, ByteBuffer(repeating: 0, count: 8), to: &goodbye)
        #expect(throws: (any Error).self) { try wire.take(goodbye) }
    }

    @Test("A long token's length takes several bytes")
    func longValue() throws {
        let token = String(repeating: "x", count: 500)
        let head = HTTP2.head("/sync/download", token: token)
        // 507 with `Bearer ` before it: 127 in the first byte, 380 in groups of seven bits.
        let length = ByteBuffer(bytes: [0x7f, 0xfc, 0x02]).readableBytesView
        let place = try #require(head.readableBytesView.firstRange(of: length))
        let value = head.readableBytesView[place.upperBound...]
        #expect(String(decoding: value, as: UTF8.self) == "Bearer " + token)
    }
}
