import Foundation
import Testing

@testable import ServiceKit

/// When files that change are read again.
struct ReloadTests {
    private let folder =
        "\(FileManager.default.temporaryDirectory.path)/reload-\(UUID().uuidString)"

    private func withFolder(_ body: () throws -> Void) throws {
        try FileManager.default.createDirectory(
            atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try body()
    }

    private func write(_ text: String, _ name: String) throws {
        try Data(text.utf8).write(to: URL(filePath: "\(folder)/\(name)"))
    }

    @Test func `a changed file is read once it stays the same, and then not again`() throws {
        try withFolder {
            try write("one", "a")
            func stamps() -> [FileStamp?] { [FileStamp(of: "\(folder)/a")] }
            var watch = FileWatch(stamps())
            var reads = [watch.look(stamps())]
            try write("two, half", "a")
            reads.append(watch.look(stamps()))
            try write("two, half and whole", "a")
            for _ in 0..<3 { reads.append(watch.look(stamps())) }
            #expect(reads == [false, false, false, true, false])
            unlink("\(folder)/a")
            reads = (0..<3).map { _ in watch.look(stamps()) }
            #expect(reads == [false, true, false])
        }
    }

    @Test func `a file that could not be used is read again though nothing changes, until it can`()
        throws
    {
        try withFolder {
            try write("one", "a")
            let stamps = [FileStamp(of: "\(folder)/a")]
            var watch = FileWatch(stamps)
            watch.failed()
            var reads = (1...FileWatch.looksUntilRetry).map { _ in watch.look(stamps) }
            #expect(reads.firstIndex(of: true) == FileWatch.looksUntilRetry - 1)
            watch.failed()
            watch.succeeded()
            reads = (0...FileWatch.looksUntilRetry).map { _ in watch.look(stamps) }
            #expect(!reads.contains(true))
        }
    }

    @Test func `a file that others have read meanwhile is not read again`() throws {
        try withFolder {
            try write("one", "a")
            var watch = FileWatch([FileStamp(of: "\(folder)/a")])
            try write("second", "a")
            let stamps = [FileStamp(of: "\(folder)/a")]
            watch.skip(stamps)
            let isRead = watch.look(stamps)
            #expect(!isRead)
        }
    }

    /// As container platforms replace secrets: the files' folder is a link that is renamed over.
    @Test func `a link that leads elsewhere is a change, also to a file of the same content`()
        throws
    {
        try withFolder {
            for version in ["1", "2"] {
                try FileManager.default.createDirectory(
                    atPath: "\(folder)/\(version)", withIntermediateDirectories: false)
                try write("same", "\(version)/secret")
            }
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder)/data", withDestinationPath: "1")
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder)/secret", withDestinationPath: "data/secret")
            let before = try #require(FileStamp(of: "\(folder)/secret"))
            try FileManager.default.createSymbolicLink(
                atPath: "\(folder)/data.new", withDestinationPath: "2")
            try #require(rename("\(folder)/data.new", "\(folder)/data") == 0)
            let after = try #require(FileStamp(of: "\(folder)/secret"))
            #expect(before != after)
            #expect(FileStamp(of: "\(folder)/secret") == after)
        }
    }

    @Test func `a file written over with as many bytes is another`() throws {
        try withFolder {
            try write("one", "a")
            let before = FileStamp(of: "\(folder)/a")
            // Times of files have the resolution of the kernel's tick: the inode shows a change within one.
            try Data("two".utf8).write(to: URL(filePath: "\(folder)/a"), options: .atomic)
            #expect(FileStamp(of: "\(folder)/a") != before)
        }
    }
}
