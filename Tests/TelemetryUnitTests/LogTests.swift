import Logging
import Testing

@testable import Telemetry

/// What logs say of users, and how often they say that there is nothing.
struct LogTests {
    @Test func `a user's hash needs the secret`() {
        let keyed = LogSecret("a secret of the installation")
        #expect(keyed.hash("ada") == LogSecret("a secret of the installation").hash("ada"))
        #expect(keyed.hash("ada") != keyed.hash("bob"))
        #expect(keyed.hash("ada") != LogSecret("another secret").hash("ada"))
        // Without one it is a hash that anybody can make.
        #expect(LogSecret().hash("ada") == shortHash("ada"))
        #expect(keyed.hash("ada") != shortHash("ada"))
        for secret in [LogSecret(), keyed] { #expect(secret.hash("ada").utf8.count == 12) }
    }

    @Test func `the first of so many like events is logged`() {
        let sample = LogSample(every: 3)
        let levels = (0..<7).map { _ in sample.level() }
        #expect(levels.map { $0 == .info } == [true, false, false, true, false, false, true])
        let all = LogSample(every: 1)
        #expect((0..<3).allSatisfy { _ in all.level() == .info })
    }
}
