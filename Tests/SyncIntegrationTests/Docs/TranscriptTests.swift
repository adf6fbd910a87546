import Foundation
import Postgres
import Testing

/// `Docs/protocol/why.md` shows what the server does: its transcripts are run.
@Suite("Transcripts of the documentation")
struct TranscriptTests {
    static let transcripts: [Transcript] = {
        let page = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../../Docs/protocol/why.md")
        return Transcript.read((try? String(contentsOf: page, encoding: .utf8)) ?? "")
    }()

    @Test("Every transcript of ours is true, line by line", arguments: transcripts)
    func transcript(_ transcript: Transcript) async throws {
        try await SyncedDatabase.with { database in
            var sessions = Sessions(url: database.url)
            defer { sessions.close() }
            for step in transcript.steps {
                let answer = try await perform(step, database, &sessions)
                #expect(answer == step.answers, "\(step.command)")
            }
            #expect(try await database.verify().0 == [])
        }
    }

    @Test("There is a transcript for each of the five losses")
    func complete() {
        #expect(
            Self.transcripts.map { String($0.title.prefix(2)) } == ["S1", "S2", "S3", "S5", "S7"])
    }

    private func perform(
        _ step: Transcript.Step, _ database: SyncedDatabase, _ sessions: inout Sessions
    ) async throws -> [String] {
        if let match = step.command.wholeMatch(of: /(\w+) on (\w+) sends/) {
            let changes = try step.lines.map(Transcript.change).joined(separator: ",")
            return try await database.outcomes(
                String(match.1), device: String(match.2), changes)
        }
        if let match = step.command.wholeMatch(of: /(\w+) reads/) {
            let feed = try await database.feed(String(match.1))
            return feed.isEmpty ? ["nothing"] : feed
        }
        let match = try #require(
            step.command.wholeMatch(of: /(\w+)(?:: (.*)| waits: (.*)| goes on)/), "\(step.command)")
        let session = String(match.1)
        if let sql = match.2 {
            try await sessions.connection(session).execute(script: Transcript.sql(sql))
        } else if let sql = match.3 {
            try await sessions.start(session, Transcript.sql(sql))
            try await database.expectWaiting(1)
        } else {
            try await sessions.finish(session)
        }
        return []
    }
}

/// Connections of back ends, by the names that a transcript gives them.
private struct Sessions {
    let url: String
    private var connections: [String: PostgresConnection] = [:]
    private var waiting: [String: Task<Void, any Error>] = [:]

    init(url: String) { self.url = url }

    mutating func connection(_ name: String) async throws -> PostgresConnection {
        if let known = connections[name] { return known }
        let fresh = try await SyncedDatabase.connect(url)
        connections[name] = fresh
        return fresh
    }

    mutating func start(_ name: String, _ sql: String) async throws {
        let connection = try await connection(name)
        waiting[name] = Task { try await connection.execute(script: sql) }
    }

    func finish(_ name: String) async throws { try await waiting[name]?.value }

    func close() { connections.values.forEach { $0.close() } }
}

/// One block of a page: what is done on a fresh database, and what must come of it.
struct Transcript: Sendable, CustomTestStringConvertible {
    struct Step: Sendable {
        let command: String
        /// What belongs to the command.
        var lines: [String] = []
        var answers: [String] = []
    }

    let title: String
    private(set) var steps: [Step] = []

    var testDescription: String { title }

    static func read(_ page: String) -> [Transcript] {
        var transcripts: [Transcript] = []
        var title = ""
        var isInside = false
        for line in page.split(separator: "\n").map(String.init) {
            if line.hasPrefix("## ") { title = String(line.dropFirst(3)) }
            if line == "```oversync" {
                isInside = true
                transcripts.append(Transcript(title: title))
            } else if line == "```" {
                isInside = false
            } else if isInside {
                transcripts[transcripts.count - 1].add(line)
            }
        }
        return transcripts
    }

    private mutating func add(_ line: String) {
        if line.hasPrefix("→ ") {
            steps[steps.count - 1].answers.append(String(line.dropFirst(2)))
        } else if line.hasPrefix("  ") {
            steps[steps.count - 1].lines.append(String(line.dropFirst(2)))
        } else {
            steps.append(Step(command: line))
        }
    }

    /// `2 UPDATE notes a1 base 1 {…}` as the wire has it.
    static func change(_ line: String) throws -> String {
        let match = try #require(
            line.wholeMatch(of: /(\d+) (\w+) (\w+) (\w+)(?: base (\d+))?(?: (\{.*\}))?/), "\(line)")
        return try SyncIntegrationTests.change(
            #require(Int(match.1)), String(match.2), String(match.3), id(String(match.4)),
            base: match.5.flatMap { Int($0) } ?? 0, match.6.map(String.init))
    }

    /// Keys in SQL are short too.
    static func sql(_ text: Substring) -> String {
        String(text.replacing(/\b[a-f]\d\b/) { "'\(id(String($0.output)))'" })
    }
}
