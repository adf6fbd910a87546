import Model
import NIOCore
import RPC
import ServiceKit
import Synchronization
import Testing
import Tracing

@testable import Traces
@testable import UploadService

/// Spans of uploads that share a transaction: it belongs to no single one of them.
@Suite("Traces of groups") struct GroupTraceTests {
    private final class Finished: SpanSink {
        private let spans = Mutex<[FinishedSpan]>([])

        var all: [FinishedSpan] { spans.withLock { $0 } }

        func take(_ span: FinishedSpan) { spans.withLock { $0.append(span) } }
    }

    private func queued(
        _ device: String, _ number: Int, _ database: SyncedDatabase
    ) throws -> QueuedUpload {
        try database.executor.queued(
            ByteBuffer(string: #"{"changes":[\#(noteChange(number))]}"#),
            from: CallerIdentity(user: "ann", device: device), .init(),
            deadline: .now + .seconds(30))
    }

    @Test("A group's statements are in the trace of its first sampled upload, with links to others")
    func links() async throws {
        let finished = Finished()
        let tracer = RequestTracer(TraceSampler(.always, followsCaller: true), sink: finished)
        let second = try #require(tracer.begin("second", from: nil))
        let third = try #require(tracer.begin("third", from: nil))
        try await SyncedDatabase.with { database in
            try await database.upload("ann", device: "first", noteChange(1))
            try await withTracer(tracer) {
                let uploads = [
                    try queued("one", 2, database),
                    try await LiveSpan(span: second).run { try queued("two", 3, database) },
                    try await LiveSpan(span: third).run { try queued("three", 4, database) },
                ]
                var answered = 0
                await database.executor.write(uploads) { _, outcome in
                    if case .success = outcome { answered += 1 }
                }
                #expect(answered == 3)
            }
            #expect(database.executor.groups.writtenGroups == 1)
        }
        let all = finished.all
        let group = try #require(all.last)
        #expect(group.name == "upload group" && group.parent == second.context.trace?.spanID)
        #expect(group.context.traceID == second.context.trace?.traceID)
        #expect(group.links == [third.context.trace].compactMap(\.self))
        let size = FinishedSpan.Attribute(key: "oversync.group.uploads", value: .integer(3))
        #expect(group.attributes == [size])
        let parents = Set(all.dropLast().map(\.parent))
        #expect(parents == [group.context.spanID])
        let traces = Set(all.map(\.context.traceID))
        #expect(traces == [group.context.traceID] && all.count > 1)
    }
}
