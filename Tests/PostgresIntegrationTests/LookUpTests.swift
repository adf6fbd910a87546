import Dispatch
import Foundation
import TestSupport
import Testing
@testable import Postgres

@Suite("A connection whose host is a name")
struct LookUpTests {
    /// A name server that answers when the semaphore is signalled.
    private static func waiting(
        for answer: DispatchSemaphore, onQuestion: @escaping @Sendable () -> Void = {}
    ) -> HostAddresses {
        HostAddresses { _ in
            onQuestion()
            answer.wait()
            return ["127.0.0.1"]
        }
    }

    @Test("A name server that does not answer holds nobody longer than the deadline")
    func silentNameServer() async throws {
        let answered = DispatchSemaphore(value: 0)
        defer { answered.signal() }
        let stuck = Self.waiting(for: answered)
        let channel = Channel(logger: quiet, onClose: { _ in })
        let began = ContinuousClock.now
        let error = await withCheckedContinuation { continuation in
            channel.open(
                keywords: { ["host": "stuck"] }, addresses: stuck,
                deadline: .now + .milliseconds(100)
            ) { continuation.resume(returning: $0) }
        }
        #expect(error?.kind == .deadlineExceeded)
        #expect(ContinuousClock.now - began < .seconds(5))
        #expect(channel.isClosed)
    }

    @Test("Closing ends it while its host is looked up")
    func closed() async throws {
        let answered = DispatchSemaphore(value: 0)
        defer { answered.signal() }
        let stuck = Self.waiting(for: answered)
        let channel = Channel(logger: quiet, onClose: { _ in })
        let error = await withCheckedContinuation { continuation in
            channel.open(
                keywords: { ["host": "stuck"] }, addresses: stuck, deadline: .now + .seconds(60)
            ) {
                continuation.resume(returning: $0)
            }
            channel.close(because: PostgresError(.cancelled))
        }
        #expect(error?.kind == .cancelled)
    }

    @Test("Many look-ups without an answer leave Swift's tasks their threads")
    func manyStuck() async throws {
        let answered = DispatchSemaphore(value: 0)
        let count = 4 * ProcessInfo.processInfo.activeProcessorCount
        let (begun, begin) = AsyncStream<Void>.makeStream()
        let stuck = Self.waiting(for: answered) { begin.yield() }
        defer { for _ in 0..<count { answered.signal() } }
        let channels = (0..<count).map { _ in Channel(logger: quiet, onClose: { _ in }) }
        for channel in channels {
            channel.open(
                keywords: { ["host": "stuck"] }, addresses: stuck, deadline: .now + .seconds(60)
            ) { _ in }
        }
        // This loop itself needs a thread of Swift's.
        var started = 0
        for await _ in begun {
            started += 1
            if started == count { break }
        }
        let began = ContinuousClock.now
        await Task { await Task.yield() }.value
        #expect(ContinuousClock.now - began < .seconds(5))
        for channel in channels { channel.close() }
    }

    @Test("Of a list, a name that is not known is passed over; alone it fails, and is named")
    func unknownName() async throws {
        try await TestDatabase.withDatabase { url in
            var keywords = try PostgresConfiguration(url: url).connectionKeywords
            keywords["host"] = "unknown,\(keywords["host"] ?? "")"
            #expect(await Self.open(keywords) == nil)
        }
        let error = await Self.open(["host": "unknown"])
        #expect("\(String(describing: error))".contains("unknown is not known"))
    }

    /// Opens and closes a connection with a name server that knows nothing.
    private static func open(_ keywords: [String: String]) async -> PostgresError? {
        let nobody = HostAddresses { name throws(PostgresError) in
            throw PostgresError(.connectFailed("\(name) is not known"))
        }
        let channel = Channel(logger: quiet, onClose: { _ in })
        defer { channel.close() }
        return await withCheckedContinuation { continuation in
            channel.open(
                keywords: { keywords }, addresses: nobody, deadline: .now + .seconds(30)
            ) { continuation.resume(returning: $0) }
        }
    }
}
