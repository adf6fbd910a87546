import Postgres
import Synchronization
import Testing
import Tracing

@testable import Traces

/// Round trips of a request that is sampled: their spans, and the comment that PostgreSQL shows.
@Suite struct TracedStatementTests {
    private final class Finished: SpanSink {
        private let spans = Mutex<[FinishedSpan]>([])

        var all: [FinishedSpan] { spans.withLock { $0 } }

        func take(_ span: FinishedSpan) { spans.withLock { $0.append(span) } }
    }

    private static let begin = command("BEGIN ISOLATION LEVEL READ COMMITTED")
    private static let commit = command("COMMIT")

    private let finished = Finished()

    private func sampled(_ body: () async throws -> Void) async throws {
        let tracer = RequestTracer(TraceSampler(.always, followsCaller: true), sink: finished)
        let root = try #require(tracer.begin("root", from: nil))
        try await withTracer(tracer) { try await LiveSpan(span: root).run { try await body() } }
    }

    /// What PostgreSQL shows as a session's statement.
    private func shown(_ watched: PostgresConnection) async throws -> String {
        let process = try #require(watched.backendProcess)
        let look = command("SELECT query FROM pg_stat_activity WHERE pid = \(process)")
        var text = ""
        // For nobody's request.
        try await ServiceContext.withValue(.topLevel) {
            try await withConnection { other in text = try await other.run(look).string(0, 0) }
        }
        return text
    }

    @Test func theCommentStandsBehindTheTransactionsBeginAndNothingElseChanges() async throws {
        let select = command("SELECT 1 AS one")
        try await withConnection { connection in
            _ = try await connection.run([Self.begin, select])
            _ = try await connection.run(Self.commit)
            let prepared = connection.preparedStatementCount
            #expect(prepared == 3)
            for round in 0..<5 {
                try await sampled {
                    _ = try await connection.run([Self.begin])
                    let text = try await shown(connection)
                    let trace = try #require(finished.all.last?.context)
                    #expect(
                        text == "BEGIN ISOLATION LEVEL READ COMMITTED "
                            + "/*traceparent='\(trace.traceparent)'*/")
                    let results = try await connection.run([select, Self.commit])
                    #expect(try results[0].int32(0, 0) == 1)
                }
                #expect(finished.all.count == 2 * round + 2)
            }
            // No text of a request became a prepared statement.
            #expect(connection.preparedStatementCount == prepared)
            let names = command("SELECT count(*)::int4 FROM pg_prepared_statements")
            let count = try await connection.run(names).int32(0, 0)
            #expect(count == Int32(prepared) + 1)
            _ = try await connection.run([Self.begin])
            let text = try await shown(connection)
            #expect(text == "BEGIN ISOLATION LEVEL READ COMMITTED")
            _ = try await connection.run(Self.commit)
        }
    }

    @Test func behindAPoolerEveryStatementHasTheComment() async throws {
        try await withConnection({ $0.usesNamedStatements = false }) { connection in
            try await sampled {
                _ = try await connection.run([Self.begin, command("SELECT 2 AS two")])
                let trace = try #require(finished.all.last?.context)
                let text = try await shown(connection)
                #expect(text == "SELECT 2 AS two \(trace.sqlComment)")
                _ = try await connection.run(Self.commit)
            }
        }
    }

    @Test func aRoundTripIsASpanWithNamesAndCodesAndNoTexts() async throws {
        let good = Command(Statement(name: "good", sql: "SELECT 'ann'"))
        let bad = Command(Statement(name: "bad", sql: "SELECT 1/0, 'ann'"))
        try await withConnection { connection in
            try await sampled {
                _ = try await connection.run(good)
                let error = await postgresError {
                    _ = try await connection.run([good, bad, good])
                }
                #expect(error?.sqlState?.rawValue == "22012")
                var rows = 0
                try await connection.stream(good) { _ in rows += 1 }
                #expect(rows == 1)
            }
            // Nobody collects this one.
            _ = try await connection.run(good)
        }
        #expect(finished.all.map(\.name) == ["good", "good +2", "good"])
        let kinds = finished.all.map(\.kind)
        #expect(kinds == [.client, .client, .client])
        #expect(!"\(finished.all)".contains("ann"))
        let failed = finished.all[1]
        #expect(failed.hasFailed == true && finished.all[0].hasFailed == nil)
        #expect(
            failed.attributes == [
                .init(key: "db.operation.batch.size", value: .integer(3)),
                .init(key: "db.response.status_code", value: .text("22012")),
                .init(key: "db.system.name", value: .text("postgresql")),
                .init(key: "error.type", value: .text("22012")),
                .init(key: "oversync.statement", value: .text("bad")),
                .init(
                    key: "oversync.statements",
                    value: .list([.text("good"), .text("bad"), .text("good")])),
            ])
    }
}
