import Compression
import Model
import NIOCore

/// Compression of bodies, off the event loop that serves many connections: the largest take some 50 ms, in which
/// nobody else on the loop would be answered.
///
/// A user takes turns with itself, and so leaves the pool to others.
struct LongWork: Sendable {
    /// Bytes of a body under which a change of threads costs more than others could gain.
    static let leastBytes = 16 << 10
    /// Bodies of one user that are worked on at once.
    static let turnsPerUser = 2

    private let turns = UserTurns(perUser: turnsPerUser)

    /// - Parameter user: whose turn it takes; nil takes none.
    func deflate(_ body: ByteBuffer, of user: UserID?) async -> ByteBuffer? {
        guard body.readableBytes >= Self.leastBytes else { return Gzip.deflate(body) }
        return await turns.take(user) { await Self.elsewhere { Gzip.deflate(body) } }
    }

    /// However small it comes, it may become as large as the limit.
    ///
    /// - Parameters:
    ///   - user: whose turn it takes; nil takes none.
    ///   - mayTake: see `Gzip.inflate(_:limit:mayTake:)`.
    func inflate(
        _ body: ByteBuffer, limit: Int, of user: UserID?,
        mayTake: @Sendable (Int) -> Bool = { _ in true }
    ) async -> Result<ByteBuffer, GzipError> {
        await turns.take(user) {
            await Self.elsewhere {
                do throws(GzipError) {
                    return .success(try Gzip.inflate(body, limit: limit, mayTake: mayTake))
                } catch {
                    return .failure(error)
                }
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
