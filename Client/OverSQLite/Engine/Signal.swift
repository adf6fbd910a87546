/// Wakes the loop. Raising it any number of times before it is waited for counts once.
struct Signal: Sendable {
    private let stream: AsyncStream<Void>
    private let continuation: AsyncStream<Void>.Continuation

    init() {
        (stream, continuation) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    func raise() { continuation.yield() }

    /// Returns when the signal has been raised, or the task cancelled. One task waits at a time.
    func wait() async {
        for await _ in stream { return }
    }
}
