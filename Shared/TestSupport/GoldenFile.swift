import Foundation

/// A file with the SQL that a generator is known to make, `Golden/<name>.sql` next to its test.
///
/// A change of the generator shows as a difference in the file: review it and record it with
/// `make golden-record`. A run that records fails, so that no other run can record unseen.
package struct GoldenFile {
    /// Set to record instead of compare.
    package static let recordVariable = "GOLDEN_RECORD"

    private let file: URL

    /// - Parameter test: the path of the test's source file.
    package init(_ name: String, besideTest test: String = #filePath) {
        file = URL(filePath: test).deletingLastPathComponent()
            .appending(path: "Golden/\(name).sql")
    }

    /// - Parameter file: any text that is made, such as a page of the documentation.
    package init(at file: URL) { self.file = file }

    /// The first line that differs from the file, and what to do; nil if text and file are equal.
    package func problem(with text: String) throws -> String? {
        let name = file.lastPathComponent
        if ProcessInfo.processInfo.environment[Self.recordVariable] != nil {
            try text.write(to: file, atomically: true, encoding: .utf8)
            return "recorded \(name): review it, and run the test without \(Self.recordVariable)"
        }
        let advice = "if the change is meant, record it with `make golden-record`"
        guard let recorded = try? String(contentsOf: file, encoding: .utf8) else {
            return "\(name) is missing: \(advice)"
        }
        if Array(recorded.utf8) == Array(text.utf8) { return nil }
        let (old, new) = (Self.lines(recorded), Self.lines(text))
        let place = zip(old, new).enumerated().first { $1.0 != $1.1 }?.offset
        let line = place ?? min(old.count, new.count)
        return """
            \(name), line \(line + 1): \(advice)
            recorded:  \(old.indices.contains(line) ? old[line] : "(no such line)")
            generated: \(new.indices.contains(line) ? new[line] : "(no such line)")
            """
    }

    private static func lines(_ text: String) -> [Substring] {
        text.split(separator: "\n", omittingEmptySubsequences: false)
    }
}
