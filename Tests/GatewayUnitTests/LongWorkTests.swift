import NIOCore
import NIOPosix
import RPC
import Synchronization
import Testing

@testable import Gateway

/// What takes long is done off the event loop.
@Suite(.timeLimit(.minutes(1))) struct LongWorkTests {
    /// Bytes whose compression takes far longer than a turn of the loop.
    private static let body = ByteBuffer(
        bytes: (0..<(32 << 20)).map { UInt8(truncatingIfNeeded: ($0 &* 2_654_435_761) >> 13) })

    @Test("while a large body is compressed and read the event loop goes on")
    func loopGoesOn() async throws {
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        // How many parts of the work are done, and the loop's turns during each.
        let done = Mutex(0)
        let turns = Mutex([0, 0, 0])
        let work = Task(executorPreference: EventLoopExecutor.of(loop)) {
            let deflated = try #require(await LongWork.deflate(Self.body))
            #expect(loop.inEventLoop)
            done.withLock { $0 += 1 }
            let limit = Self.body.readableBytes
            let inflated = try await LongWork.inflate(deflated, limit: limit).get()
            done.withLock { $0 += 1 }
            return inflated
        }
        while done.withLock({ $0 }) < 2 {
            try await loop.submit {
                let part = done.withLock { $0 }
                turns.withLock { $0[part] += 1 }
            }.get()
        }
        #expect(try await work.value == Self.body)
        // Without leaving the loop there could be one turn before each part.
        let seen = turns.withLock { $0 }
        #expect(seen[0] > 1 && seen[1] > 1, "\(seen)")
        try await group.shutdownGracefully()
    }
}
