import ArgumentParser
import Foundation
import Testing

@testable import oversync
@testable import oversync_dev

/// What the two tools are made of, read from the programs themselves.
@Suite("Linked modules")
struct LinkedModulesTests {
    /// Modules of SQLite, of the benchmark and of the development stack.
    private static let development: Set = [
        "AsyncHTTPClient", "Bench", "Demo", "DevStack", "GRDB", "GapCheck", "LocalPostgres",
        "Notes", "OverSQLite", "OverSQLiteAsyncHTTP", "SeededRandom",
    ]
    /// Modules that only tests use.
    private static let tests: Set = [
        "DeviceScript", "GatewayConformance", "ObservabilityFiles", "OverSQLiteTestSupport",
        "ServerModel", "TestSupport", "TestTokens", "Testing",
    ]

    @Test("The operator's tool links nothing of the development stack; the developer's does")
    func modules() throws {
        let operators = try Program("oversync").modules()
        #expect(operators.isDisjoint(with: Self.development))
        #expect(operators.contains("Sidecar"))
        #expect(try Program("oversync-dev").modules().isSuperset(of: Self.development))
    }

    @Test(
        "No program contains what only tests use",
        arguments: [
            "oversync", "oversync-dev", "oversync-auth", "oversync-download", "oversync-gateway",
            "oversync-upload",
        ])
    func testSupport(program: String) throws {
        #expect(try Program(program).modules().isDisjoint(with: Self.tests))
    }

    @Test("oversync runs each command of oversync-dev, and no other")
    func developmentCommands() async throws {
        let names = OversyncDev.configuration.subcommands.compactMap {
            $0.configuration.commandName
        }
        #expect(Set(names) == DevelopmentCommands.names)
        let program = try Program("oversync")
        #expect(try await program.output("dev", "--help").contains("USAGE: oversync-dev dev "))
        let wrong = try await program.output("migrat")
        #expect(wrong.contains("migrat") && !wrong.contains(DevelopmentCommands.program))
    }

    @Test("The operator's tool loads no SQLite, and the developer's tool does")
    func libraries() async throws {
        let operators = try await Program("oversync").libraries()
        #expect(operators.contains("libpq.so") && !operators.contains("sqlite"))
        #expect(try await Program("oversync-dev").libraries().contains("sqlite"))
    }
}

/// A program that was built with this test.
private struct Program {
    private let path: String

    init(_ name: String) throws {
        let own = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let folders = [
            URL(filePath: own).deletingLastPathComponent(), Bundle.main.bundleURL,
            Bundle.main.bundleURL.deletingLastPathComponent(),
        ]
        path = try #require(
            folders.map { $0.appending(path: name).path }.first {
                FileManager.default.isExecutableFile(atPath: $0)
            }, "\(name) is not beside this test")
    }

    /// The Swift modules whose symbols are in it. A mangled name begins with `$s`, the module's length and its name.
    func modules() throws -> Set<String> {
        let program = try Data(contentsOf: URL(filePath: path), options: .alwaysMapped)
        return program.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress else { return [] }
            var modules: Set<String> = []
            var position = 0
            while let hit = memchr(
                base + position, Int32(UInt8(ascii: "$")), bytes.count - position)
            {
                position = UnsafeRawPointer(hit) - base + 1
                if let module = Self.module(in: bytes, at: position) { modules.insert(module) }
                if position == bytes.count { break }
            }
            return modules
        }
    }

    /// The module's name after a `$`.
    private static func module(in bytes: UnsafeRawBufferPointer, at start: Int) -> String? {
        guard start < bytes.count, bytes[start] == UInt8(ascii: "s") else { return nil }
        var position = start + 1
        var length = 0
        while position < bytes.count, length < 100, bytes[position] &- UInt8(ascii: "0") < 10 {
            length = length * 10 + Int(bytes[position] - UInt8(ascii: "0"))
            position += 1
        }
        guard length > 0, position + length <= bytes.count else { return nil }
        return String(decoding: bytes[position..<position + length], as: UTF8.self)
    }

    /// The shared libraries that it loads, as `ldd` lists them.
    func libraries() async throws -> String {
        try await Self.output(of: "/usr/bin/ldd", [path])
    }

    /// All that it writes.
    func output(_ arguments: String...) async throws -> String {
        try await Self.output(of: path, arguments)
    }

    private static func output(of path: String, _ arguments: [String]) async throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: path)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        process.standardError = pipe
        try process.run()
        let text = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        return String(decoding: text, as: UTF8.self)
    }
}
