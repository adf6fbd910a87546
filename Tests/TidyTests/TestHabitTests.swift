import Testing

/// Tests that fail can be run again as they failed, and none waits for time to pass.
@Suite("Habits of tests")
struct TestHabitTests {
    private static let files =
        SourceTree.swift(below: "Tests") + SourceTree.swift(below: "Shared/TestSupport")

    private static let sleeps = [
        "Task.sleep", "Thread.sleep", "usleep(", "nanosleep(", "sleep(forTimeInterval:",
    ]

    @Test func `tests await events and do not sleep`() throws {
        var found: [String: [String]] = [:]
        // The one place that looks again and again, with a deadline, where nothing tells.
        for file in Self.files where !file.path.hasSuffix("/Eventually.swift") {
            for (index, line) in file.codeLines.enumerated() {
                for sleep in Self.sleeps where line.contains(sleep) {
                    found[file.path, default: []].append("\(index + 1): \(sleep)")
                }
            }
        }
        try Ratchet(name: "sleeps", advice: "Await an event, or use `eventually`.").check(found)
    }

    @Test func `what a test leaves to chance comes from a seed`() throws {
        var found: [String: [String]] = [:]
        for file in Self.files {
            for (index, line) in file.codeLines.enumerated() {
                let isUnseeded =
                    line.contains("SystemRandomNumberGenerator")
                    || (line.contains(".random(") || line.contains(".shuffled()")
                        || line.contains(".randomElement()")) && !line.contains("using:")
                if isUnseeded {
                    found[file.path, default: []].append("\(index + 1): chance without a seed")
                }
            }
        }
        // Names of folders, databases and roles are among the recorded: `UniqueName` is to make
        // them.
        try Ratchet(name: "unseeded", advice: "Take a SeededGenerator.").check(found)
    }

    /// A seed that is a literal is the same in every run. Another one must be an argument of the
    /// test, which Swift Testing prints, or be in the text of an issue.
    @Test func `a failure of a random test names its seed`() throws {
        var found: [String: [String]] = [:]
        for file in Self.files {
            let printsSeed =
                file.code.contains("arguments:") || file.text.contains("seed \\(")
                || file.text.contains("SEED=\\(")
            if printsSeed { continue }
            for (index, line) in file.codeLines.enumerated() {
                guard let range = line.firstRange(of: "SeededGenerator(seed: ") else { continue }
                let seed = line[range.upperBound...]
                if seed.first?.isNumber != true {
                    found[file.path, default: []].append("\(index + 1): the seed is not printed")
                }
            }
        }
        try Ratchet(name: "seeds", advice: "Make the seed an argument of the test.").check(found)
    }
}
