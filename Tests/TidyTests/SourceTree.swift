import Foundation

/// A text file of this repository.
struct SourceFile: Sendable {
    /// From the repository's root.
    let path: String
    let text: String
    let lines: [Substring]
    /// Swift without comments and the text of strings; of other files their text.
    let code: String

    init(path: String, text: String) {
        self.path = path
        self.text = text
        lines = text.split(separator: "\n", omittingEmptySubsequences: false)
        code = path.hasSuffix(".swift") ? SwiftCode.strip(text) : text
    }

    var codeLines: [Substring] { code.split(separator: "\n", omittingEmptySubsequences: false) }
}

/// What people have written in this repository: neither what was fetched nor what a program
/// generated.
enum SourceTree {
    static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()

    private static let folders = [
        "Client", "Deploy", "Docs", "Services", "Shared", "Tests", "Tools",
    ]
    private static let kinds: Set = ["swift", "md", "sh", "sql", "yaml", "proto"]

    static let files: [SourceFile] = {
        var paths = ["Makefile", "Package.swift", "README.md", "CONTRIBUTING.md", ".ci/run"]
        for folder in folders {
            let below = FileManager.default.enumerator(atPath: root.appending(path: folder).path)
            while let path = below?.nextObject() as? String {
                let name = (path as NSString).lastPathComponent
                guard kinds.contains((path as NSString).pathExtension) || name == "Dockerfile",
                    !path.contains("Generated/")
                else { continue }
                paths.append("\(folder)/\(path)")
            }
        }
        return paths.sorted().compactMap { path in
            (try? String(contentsOf: root.appending(path: path), encoding: .utf8)).map {
                SourceFile(path: path, text: $0)
            }
        }
    }()

    static let swift = files.filter { $0.path.hasSuffix(".swift") }

    static func swift(below folder: String) -> [SourceFile] {
        swift.filter { $0.path.hasPrefix(folder + "/") }
    }
}

/// Runs a program and returns what it wrote.
enum Command {
    struct Failed: Error { let status: Int32 }

    static func output(_ arguments: [String], in folder: URL = SourceTree.root) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = arguments
        process.currentDirectoryURL = folder
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        try process.run()
        let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw Failed(status: process.terminationStatus)
        }
        return String(decoding: data, as: UTF8.self)
    }
}
