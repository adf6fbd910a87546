import Bench
import Foundation
import Testing

@Suite("Where a run's results are written")
struct OutputFileTests {
    private static func withFolder(_ body: (String) throws -> Void) throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: UUID().uuidString)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try body(folder.path)
    }

    @Test("A file that is there or can be is fine, and none is made by asking")
    func fine() throws {
        try Self.withFolder { folder in
            let path = folder + "/bench.json"
            #expect(OutputFile.trouble(path) == nil)
            #expect(!FileManager.default.fileExists(atPath: path))
            try Data().write(to: URL(filePath: path))
            #expect(OutputFile.trouble(path) == nil)
        }
    }

    @Test(
        "A folder in its place, none around it, or a file in the folder's place are told before the run"
    )
    func troubles() throws {
        try Self.withFolder { folder in
            #expect(try #require(OutputFile.trouble(folder)).contains("is a folder"))
            let lost = try #require(OutputFile.trouble(folder + "/lost/bench.json"))
            #expect(lost.contains("no folder \(folder)/lost;"))
            try Data().write(to: URL(filePath: folder + "/file"))
            #expect(OutputFile.trouble(folder + "/file/bench.json") != nil)
        }
    }
}
