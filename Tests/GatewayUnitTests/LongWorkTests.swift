import Model
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
        let longWork = LongWork()
        let work = Task(executorPreference: EventLoopExecutor.of(loop)) {
            let deflated = try #require(await longWork.deflate(Self.body, of: UserID("ada")))
            #expect(loop.inEventLoop)
            done.withLock { $0 += 1 }
            let limit = Self.body.readableBytes
            let inflated = try await longWork.inflate(
                deflated, limit: limit, of: UserID("ada")
            ).get()
            done.withLock { $0 += 1 }
            return inflated
        }
        // On the loop itself: this task shares Swift's pool with the work.
        let counting = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .microseconds(100)) {
            _ in
            let part = done.withLock { $0 }
            turns.withLock { $0[part] += 1 }
        }
        #expect(try await work.value == Self.body)
        counting.cancel()
        // Without leaving the loop there could be one turn before each part.
        let seen = turns.withLock { $0 }
        #expect(seen[0] > 1 && seen[1] > 1, "\(seen)")
        try await group.shutdownGracefully()
    }

    private final class Gate: Sendable {
        private let (stream, continuation) = AsyncStream<Void>.makeStream()

        func open() { continuation.finish() }
        func pass() async { for await _ in stream {} }
    }

    private final class Record: Sendable {
        private let numbers = Mutex<[Int]>([])

        var all: [Int] { numbers.withLock { $0 } }
        func add(_ number: Int) { numbers.withLock { $0.append(number) } }
    }

    @Test("a user's further work waits for its own, in order, and for nobody else's")
    func turns() async {
        let turns = UserTurns(perUser: 2)
        let (ada, ben) = (UserID("ada"), UserID("ben"))
        let done = Record()
        let gates = [Gate(), Gate()]
        await withTaskGroup(of: Void.self) { group in
            let (begun, begin) = AsyncStream<Void>.makeStream()
            for gate in gates {
                group.addTask {
                    await turns.take(ada) {
                        begin.yield()
                        await gate.pass()
                    }
                }
            }
            var starts = begun.makeAsyncIterator()
            for _ in gates { _ = await starts.next() }
            for number in 1...3 {
                group.addTask { await turns.take(ada) { done.add(number) } }
                // It has its place before the next one comes.
                while turns.waiting(of: ada) < number { await Task.yield() }
            }
            // Neither waits, though ada's work goes on.
            await turns.take(ben) { done.add(10) }
            await turns.take(nil) { done.add(11) }
            #expect(done.all == [10, 11])
            gates[0].open()
            while turns.waiting(of: ada) > 0 { await Task.yield() }
            gates[1].open()
            await group.waitForAll()
        }
        #expect(done.all == [10, 11, 1, 2, 3])
        #expect(turns.count == 0)
    }
}
