import Foundation
import Testing

/// What `make fuzz` runs for hours runs here for seconds: each file of the corpus, which also has
/// every input that once broke something, and mutations of them.
@Suite(.timeLimit(.minutes(5)))
struct CorpusTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent()
        .appending(path: "Corpus")
    /// The corpus is for people to read, and to clone: bytes of all its files.
    private static let mostBytes = 200_000
    /// Mutations of an entry. An engine, or a signature, takes a while.
    private static let mutations = ["sync": 150, "claims": 500, "keys": 500, "token": 1000]
    private static let usualMutations = 4000

    private static func files(of entry: String) throws -> [(name: String, bytes: [UInt8])] {
        let folder = folder.appending(path: entry)
        return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map {
            ($0, Array(try Data(contentsOf: folder.appending(path: $0))))
        }
    }

    @Test(arguments: FuzzEntry.all.map(\.name))
    func `every file of the corpus, and mutations of it, keep the rules`(name: String) async throws
    {
        let entry = try #require(FuzzEntry.all.first { $0.name == name })
        let files = try Self.files(of: name)
        try #require(files.count >= 3)
        for (file, bytes) in files {
            do { try await entry.read(bytes) } catch { Issue.record("\(name)/\(file): \(error)") }
        }
        try await entry.read([])
        var mutator = Mutator()
        let count = Self.mutations[name] ?? Self.usualMutations
        for number in 0..<count {
            let (file, bytes) = files[number % files.count]
            let other = files[(number / files.count) % files.count].bytes
            let input = mutator.mutation(of: bytes, with: other, atMost: entry.mostBytes)
            do { try await entry.read(input) } catch {
                let text = Data(input).base64EncodedString()
                Issue.record("mutation \(number), of \(file): \(error); base64: \(text)")
                return
            }
        }
    }

    @Test func `the corpus is small, and belongs to entries`() throws {
        let folders = try FileManager.default.contentsOfDirectory(atPath: Self.folder.path)
        #expect(folders.sorted() == FuzzEntry.all.map(\.name).sorted())
        var bytes = 0
        for entry in FuzzEntry.all {
            for file in try Self.files(of: entry.name) {
                bytes += file.bytes.count
                #expect(file.bytes.count <= entry.mostBytes, "\(entry.name)/\(file.name)")
            }
        }
        #expect(bytes < Self.mostBytes)
    }

    /// Otherwise the test above would pass whatever the entries do.
    @Test func `a rule that is broken is found`() async throws {
        let entry = FuzzEntry(
            "broken", mostBytes: 64, now: { try hold(!$0.contains(0xFF), "no byte is 255") })
        var mutator = Mutator()
        var found = 0
        for _ in 0..<1000 {
            let input = mutator.mutation(of: [1, 2, 3], with: [4], atMost: entry.mostBytes)
            #expect(input.count <= entry.mostBytes)
            do { try await entry.read(input) } catch is BrokenRule { found += 1 }
        }
        #expect(found > 10)
    }
}
