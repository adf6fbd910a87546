import NIOCore
import Protos
import SeededRandom
import Testing

@testable import RPC

/// Frames as bytes.
struct FrameTests {
    private func bytes(_ frame: Frame, limit: Int = 1 << 20) throws -> ByteBuffer {
        var (head, body) = try frame.encode(limit: limit, allocator: ByteBufferAllocator())
        if let body { head.writeImmutableBuffer(body) }
        return head
    }

    private func frame(_ id: UInt32, message: Int, body: Int) -> Frame {
        var frame = Frame.control(.call, call: id)
        frame.header.method = "m"
        frame.message = ByteBuffer(repeating: 1, count: message)
        frame.body = ByteBuffer(repeating: UInt8(truncatingIfNeeded: id), count: body)
        return frame
    }

    /// However the socket cuts the bytes up.
    @Test(arguments: 0..<30 as Range<UInt64>)
    func `frames come out as they went in`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var stream = ByteBuffer()
        let frames = try (1...40).map { id in
            let frame = frame(
                UInt32(id), message: .random(in: 0...300, using: &random),
                body: [0, 1, 4096, 4097, 70_000].randomElement(using: &random) ?? 0)
            stream.writeImmutableBuffer(try bytes(frame))
            return frame
        }
        var decoder = FrameDecoder(limit: 1 << 20)
        var received: [Frame] = []
        while stream.readableBytes > 0 {
            let size = min(
                stream.readableBytes,
                [1, 3, 7, 100, 5000, 100_000].randomElement(using: &random) ?? 1)
            let slice = stream.readSlice(length: size)
            decoder.append(try #require(slice))
            while let frame = try decoder.next() { received.append(frame) }
        }
        #expect(received.count == frames.count)
        for (sent, got) in zip(frames, received) {
            #expect(got.header.callID == sent.header.callID)
            #expect(got.message == sent.message)
            #expect(got.body == sent.body)
        }
    }

    @Test func `a frame that arrives whole is not copied`() throws {
        let whole = try bytes(frame(1, message: 10, body: 100_000))
        var decoder = FrameDecoder(limit: 1 << 20)
        decoder.append(whole)
        let next = try decoder.next()
        let body = try #require(next).body
        let original = whole.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
        let slice = body.withUnsafeReadableBytes { UInt(bitPattern: $0.baseAddress) }
        #expect(slice == original + UInt(whole.readableBytes - body.readableBytes))
    }

    /// What the bytes of a frame keep alive.
    private func kept(_ frame: Frame?) throws -> Int {
        let frame = try #require(frame)
        return max(frame.body.storageCapacity, frame.message.storageCapacity)
    }

    @Test func `a small frame behind a large one does not keep the large one's storage`() throws {
        let (large, small) = (
            frame(1, message: 10, body: 8 << 20), frame(2, message: 10, body: 300)
        )
        var stream = try bytes(large, limit: 16 << 20)
        for _ in 1...20 { stream.writeImmutableBuffer(try bytes(small)) }
        var decoder = FrameDecoder(limit: 16 << 20)
        var sizes: [Int] = []
        while var part = stream.readSlice(length: min(stream.readableBytes, 64 << 10)) {
            guard part.readableBytes > 0 else { break }
            // As the socket gives it: in storage of its own.
            part = ByteBuffer(bytes: part.readableBytesView)
            decoder.append(part)
            while let frame = try decoder.next() {
                sizes.append(frame.body.readableBytes)
                #expect(try kept(frame) <= max(2 * frame.body.readableBytes + 1024, 4096))
            }
        }
        #expect(sizes == [8 << 20] + Array(repeating: 300, count: 20))
    }

    @Test func `small frames that came with many others are copied out`() throws {
        let small = frame(1, message: 10, body: 300)
        var stream = ByteBuffer()
        while stream.readableBytes < 60_000 { stream.writeImmutableBuffer(try bytes(small)) }
        var decoder = FrameDecoder(limit: 1 << 20)
        decoder.append(stream)
        var count = 0
        while let frame = try decoder.next() {
            count += 1
            #expect(frame.body == small.body)
            #expect(try kept(frame) <= ByteBuffer.smallStorageBytes)
        }
        #expect(count > 100)
    }

    @Test func `a frame at the limit passes and one over it does not, at both ends`() throws {
        let sent = frame(1, message: 0, body: 1000)
        let size = try bytes(sent).readableBytes - 4
        #expect(throws: FrameError.tooLarge(bytes: size, limit: size - 1)) {
            try bytes(sent, limit: size - 1)
        }
        var exact = FrameDecoder(limit: size)
        exact.append(try bytes(sent, limit: size))
        let passed = try exact.next()
        #expect(passed?.body.readableBytes == 1000)
        var small = FrameDecoder(limit: size - 1)
        // The length alone is enough: nothing is kept for a frame that is refused anyway.
        let length = try bytes(sent).getSlice(at: 0, length: 4)
        small.append(try #require(length))
        #expect(throws: FrameError.tooLarge(bytes: size, limit: size - 1)) { try small.next() }
    }

    @Test func `hostile bytes are an error or wait for more, never a crash`() throws {
        var random = SeededGenerator(seed: 1)
        let good = try bytes(frame(1, message: 20, body: 40))
        var refused = 0
        for _ in 0..<20_000 {
            var hostile = good
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                hostile.setInteger(
                    UInt8.random(in: 0 ... .max, using: &random),
                    at: Int.random(in: 0..<hostile.readableBytes, using: &random))
            }
            var decoder = FrameDecoder(limit: 1000)
            decoder.append(hostile)
            do throws(FrameError) {
                while let frame = try decoder.next() {
                    #expect(frame.message.readableBytes + frame.body.readableBytes < 1000)
                }
            } catch {
                refused += 1
            }
        }
        #expect(refused > 1000)
    }

    @Test func `every status and failure survives the wire`() {
        for status in RPCStatus.allCases {
            let failure = RPCFailure(
                status, code: "some_code", message: "words", retryAfter: .milliseconds(1500))
            #expect(RPCFailure(wire: failure.wire) == failure)
        }
        #expect(RPCStatus(wire: .UNRECOGNIZED(99)) == .internal)
    }

    @Test func `what is left of a deadline travels, rounded up`() {
        let now = ContinuousClock.now
        let call = CallContext(requestID: "r", deadline: now + .microseconds(1))
        #expect(call.header(method: "m", now: now).deadlineMilliseconds == 1)
        let long = CallContext(requestID: "r", deadline: now + .seconds(90))
        #expect(long.header(method: "m", now: now).deadlineMilliseconds == 90_000)
    }
}
