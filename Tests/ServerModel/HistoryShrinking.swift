/// A step of a history that can be taken apart, and put together again.
package protocol ShrinkableStep: Sendable {
    /// An upload of several changes as uploads of one.
    var atoms: [Self] { get }
    /// Nil if the two are not of one upload.
    func joined(with other: Self) -> Self?
}

/// Makes a failing history short.
package enum HistoryShrinking {
    /// Most tries of a shorter one.
    private static let maximumTries = 400

    /// Leaves out what is not needed for the failure, in ever smaller pieces: first whole steps, then changes.
    package static func shrink<Step: ShrinkableStep>(
        _ history: [Step], fails: ([Step]) async throws -> Bool
    ) async throws -> [Step] {
        var tries = 0
        let steps = try await shrink(history, &tries, fails)
        let changes = steps.enumerated().flatMap { number, step in
            step.atoms.map { (number, $0) }
        }
        return joined(try await shrink(changes, &tries) { try await fails(joined($0)) })
    }

    private static func shrink<Piece>(
        _ pieces: [Piece], _ tries: inout Int, _ fails: ([Piece]) async throws -> Bool
    ) async throws -> [Piece] {
        var short = pieces
        var size = max(1, short.count / 2)
        while tries < maximumTries {
            var start = 0
            while start < short.count, tries < maximumTries {
                var trial = short
                trial.removeSubrange(start..<min(start + size, short.count))
                tries += 1
                if !trial.isEmpty, try await fails(trial) {
                    short = trial
                } else {
                    start += size
                }
            }
            if size == 1 { break }
            size /= 2
        }
        return short
    }

    /// Puts the changes of one upload together again.
    private static func joined<Step: ShrinkableStep>(_ atoms: [(Int, Step)]) -> [Step] {
        var steps: [(number: Int, step: Step)] = []
        for (number, step) in atoms {
            if let last = steps.last, last.number == number,
                let both = last.step.joined(with: step)
            {
                steps[steps.count - 1].step = both
            } else {
                steps.append((number, step))
            }
        }
        return steps.map(\.step)
    }
}
