import DevStack
import Foundation
import LocalPostgres
import OperatorKit
import SeededRandom

/// What goes wrong with the stack from time to time.
struct Strikes: Sendable {
    enum Kind: Hashable, Sendable {
        case service(String)
        case postgres
        case sessions

        var name: String {
            switch self {
            case .service(let name): "oversync-" + name
            case .postgres: "PostgreSQL"
            case .sessions: "all sessions of PostgreSQL"
            }
        }
    }

    /// Everything dies in turn.
    static let all: [Kind] =
        [.service("upload"), .sessions, .service("gateway"), .service("download"), .postgres]
        + [.service("auth")]
    /// What processes whose memory is watched must live through.
    static let besideWatched: [Kind] = [.sessions, .service("download")]

    let stack: StackAddress
    let cluster: LocalPostgres
    let watch: ProcessWatch
    var random: SeededGenerator
    /// Processes that are not killed: their memory is watched.
    var spared: Set<Int32> = []
    private(set) var hits: [String: Int] = [:]

    init(
        stack: StackAddress, cluster: LocalPostgres, watch: ProcessWatch, random: SeededGenerator
    ) {
        self.stack = stack
        self.cluster = cluster
        self.watch = watch
        self.random = random
    }

    /// Spares one process of each service from now on.
    mutating func spareOneOfEach() {
        spared = Set(ProcessWatch.services.compactMap { watch.processes(of: $0).first })
    }

    /// Strikes each kind in turn until `end`, and at least once.
    mutating func run(
        _ kinds: [Kind], every pause: Duration, until end: ContinuousClock.Instant
    ) async throws {
        var number = 0
        while number < kinds.count || .now + pause < end {
            try await Task.sleep(for: pause)
            try await hit(kinds[number % kinds.count])
            number += 1
        }
        try await Task.sleep(until: end)
    }

    private mutating func hit(_ kind: Kind) async throws {
        switch kind {
        case .service(let name):
            let all = watch.processes(of: name).filter { !spared.contains($0) }
            guard let victim = all.randomElement(using: &random) else { return }
            watch.strike(victim)
            guard kill(victim, SIGKILL) == 0 else { return }
        case .postgres:
            try await cluster.kill()
            try await cluster.start()
        case .sessions: _ = try await stack.cutDatabaseSessions()
        }
        hits[kind.name, default: 0] += 1
    }
}
