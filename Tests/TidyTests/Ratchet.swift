import Foundation
import Testing

/// Files that do not keep a rule yet, with how often they break it, in `Recorded/<name>.txt`. The
/// list may only shrink.
///
/// A file that breaks the rule and is not listed fails the test. So does one that breaks it less
/// often than the list says: `make tidy-record` writes the smaller numbers down, and never a larger
/// one.
struct Ratchet {
    let name: String
    /// What to do about a file that is not listed.
    let advice: String

    private static var isRecording: Bool {
        ProcessInfo.processInfo.environment["TIDY_RECORD"] != nil
    }

    private var path: String { "Tests/TidyTests/Recorded/\(name).txt" }

    private var file: URL { SourceTree.root.appending(path: path) }

    /// - Parameter found: each breach by file, with the place and what is wrong.
    func check(_ found: [String: [String]]) throws {
        let isNew = !FileManager.default.fileExists(atPath: file.path)
        let recorded = isNew ? [:] : try Self.read(String(contentsOf: file, encoding: .utf8))
        if Self.isRecording { return try record(found, over: isNew ? nil : recorded) }
        for (path, breaches) in found.sorted(by: { $0.key < $1.key }) {
            let allowed = recorded[path] ?? 0
            guard breaches.count > allowed else { continue }
            let list = breaches.prefix(10).joined(separator: "\n  ")
            Issue.record("\(path): \(breaches.count) (recorded: \(allowed)). \(advice)\n  \(list)")
        }
        for (path, count) in recorded.sorted(by: { $0.key < $1.key }) {
            let now = found[path]?.count ?? 0
            if now < count {
                Issue.record("\(path): \(now), recorded: \(count). `make tidy-record` records it.")
            }
        }
        try checkHasNotGrown(recorded)
    }

    /// Compares with what the last commit recorded. By sums, so that files can be renamed.
    private func checkHasNotGrown(_ recorded: [String: Int]) throws {
        guard let before = try? Command.output(["git", "show", "HEAD:\(path)"]) else { return }
        let (sum, last) = (recorded.values.reduce(0, +), Self.read(before).values.reduce(0, +))
        #expect(sum <= last, "\(path) may only shrink: \(last) became \(sum)")
    }

    private func record(_ found: [String: [String]], over recorded: [String: Int]?) throws {
        var lines: [String] = []
        for (path, breaches) in found.sorted(by: { $0.key < $1.key }) where !breaches.isEmpty {
            let count = recorded.map { min(breaches.count, $0[path] ?? 0) } ?? breaches.count
            if count > 0 { lines.append("\(count)\t\(path)\n") }
        }
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try lines.joined().write(to: file, atomically: true, encoding: .utf8)
    }

    private static func read(_ text: String) -> [String: Int] {
        var counts: [String: Int] = [:]
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: "\t")
            if parts.count == 2, let count = Int(parts[0]) { counts[String(parts[1])] = count }
        }
        return counts
    }
}
