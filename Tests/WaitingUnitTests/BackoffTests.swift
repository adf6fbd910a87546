import Testing
import Waiting

@Suite("Backoff")
struct BackoffTests {
    @Test func `pauses double up to the longest, and begin again after a success`() {
        var backoff = Backoff(first: .milliseconds(100), longest: .milliseconds(500))
        let pauses = (0..<5).map { _ in backoff.fail() }
        #expect(pauses == [100, 200, 400, 500, 500].map { .milliseconds($0) })
        #expect(backoff.failures == 5)
        backoff.reset()
        #expect(backoff.fail() == .milliseconds(100))
    }

    @Test func `jitter shortens a pause to its steady share at most`() {
        let backoff = Backoff(first: .seconds(1), longest: .seconds(10), steadyShare: 0.5)
        #expect(backoff.pause(afterFailures: 1, jitter: 0) == .seconds(1))
        #expect(backoff.pause(afterFailures: 1, jitter: 0.5) == .seconds(1.5))
        #expect(backoff.pause(afterFailures: 1, jitter: 1) == .seconds(2))
    }

    @Test func `any number of failures has a pause`() {
        let backoff = Backoff(first: .milliseconds(1), longest: .seconds(2))
        #expect(backoff.pause(afterFailures: .max) == .seconds(2))
    }
}
