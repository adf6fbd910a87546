import Compression
import NIOCore

/// Compression of bodies, off the event loop that serves many connections: the largest take some 50 ms, in which
/// nobody else on the loop would be answered.
enum LongWork {
    /// Bytes of a body under which a change of threads costs more than others could gain.
    static let leastBytes = 16 << 10

    static func deflate(_ body: ByteBuffer) async -> ByteBuffer? {
        guard body.readableBytes >= leastBytes else { return Gzip.deflate(body) }
        return await elsewhere { Gzip.deflate(body) }
    }

    /// However small it comes, it may become as large as the limit.
    ///
    /// - Parameter mayTake: see `Gzip.inflate(_:limit:mayTake:)`.
    static func inflate(
        _ body: ByteBuffer, limit: Int, mayTake: @Sendable (Int) -> Bool = { _ in true }
    ) async -> Result<ByteBuffer, GzipError> {
        await elsewhere {
            do throws(GzipError) {
                return .success(try Gzip.inflate(body, limit: limit, mayTake: mayTake))
            } catch {
                return .failure(error)
            }
        }
    }

    /// Runs `work` in Swift's own pool, and comes back to where the task was.
    private static func elsewhere<Value: Sendable>(
        _ work: @Sendable () -> Value
    ) async -> Value {
        await withTaskExecutorPreference(globalConcurrentExecutor) { await Self.concurrently(work) }
    }

    @concurrent private static func concurrently<Value: Sendable>(
        _ work: @Sendable () -> Value
    ) async -> Value {
        work()
    }
}
