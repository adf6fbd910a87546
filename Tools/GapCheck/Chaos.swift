import DevStack
import Foundation
import OperatorKit
import SeededRandom

/// What goes wrong meanwhile: processes die by kill -9, and connections to PostgreSQL are cut.
struct Chaos: Sendable {
    /// One strike for each group of changes, and never fewer than the least.
    private static let changesPerStrike: Int64 = 20_000
    private static let fewestStrikes: Int64 = 6
    /// Between two looks at how far the writers are.
    private static let pause: Duration = .milliseconds(10)

    enum Strike: String, CaseIterable, Sendable {
        case upload = "oversync-upload"
        case connections = "connections to PostgreSQL"
        case download = "oversync-download"
    }

    let stack: StackAddress
    let changes: Int64
    let progress: GapProgress
    var random: SeededGenerator

    /// Strikes each kind in turn, at even distances on the way to the last change.
    ///
    /// - Returns: how often each kind has hit.
    mutating func run(until isEnough: () -> Bool) async throws -> [Strike: Int] {
        let strikes = max(Self.fewestStrikes, changes / Self.changesPerStrike)
        var hits: [Strike: Int] = [:]
        for number in 0..<strikes {
            let next = changes * (number + 1) / (strikes + 1)
            while progress.changes < next, !isEnough() {
                try await Task.sleep(for: Self.pause)
            }
            let strike = Strike.allCases[Int(number) % Strike.allCases.count]
            if try await hit(strike) { hits[strike, default: 0] += 1 }
        }
        return hits
    }

    /// - Returns: whether there was anything to hit.
    private mutating func hit(_ strike: Strike) async throws -> Bool {
        switch strike {
        case .upload, .download:
            let all = ServiceProcesses.named(strike.rawValue, of: stack)
            guard let victim = all.randomElement(using: &random) else { return false }
            return kill(victim, SIGKILL) == 0
        case .connections:
            return try await stack.cutDatabaseSessions() > 0
        }
    }
}
