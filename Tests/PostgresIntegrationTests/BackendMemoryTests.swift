import Foundation
import Postgres
import Testing

@Suite struct BackendMemoryTests {
    private static let statements = 200

    /// A back end that gives its memory back after a statement takes it again, page by page, for
    /// the next one.
    @Test(
        "A back end keeps the memory of a statement for the next one",
        .enabled(if: FileManager.default.fileExists(atPath: "/proc/self/stat")))
    func keepsMemory() async throws {
        try await withConnection { connection in
            let process = try await connection.run(command("SELECT pg_backend_pid()")).int32(0, 0)
            let sorting = command(
                "SELECT count(*) FROM (SELECT DISTINCT g FROM generate_series(1, 3000) AS g) AS d")
            for _ in 0..<Self.statements { try await connection.run(sorting) }
            let before = try pageFaults(of: process)
            for _ in 0..<Self.statements { try await connection.run(sorting) }
            let faults = try pageFaults(of: process) - before
            #expect(faults < Self.statements, "\(faults) in \(Self.statements) statements")
        }
    }

    /// The pages that the kernel gave to a process, from the tenth field of its line.
    private func pageFaults(of process: Int32) throws -> Int {
        let line = try String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8)
        let behindName = try #require(line.split(separator: ")").last)
        return try #require(Int(behindName.split(separator: " ")[7]))
    }
}
