import Foundation
import Testing

/// Every module that a target imports is among its dependencies, and every dependency is used.
///
/// `swift build --explicit-target-dependency-import-check error` knows the first half only, and not
/// what packages that are not ours say of themselves.
@Suite("Imports")
struct ImportTests {
    /// Modules of the toolchain.
    private static let toolchain: Set = [
        "Darwin", "Dispatch", "Foundation", "FoundationNetworking", "FoundationXML", "Glibc",
        "Musl", "Observation", "Synchronization", "Testing", "os",
    ]

    @Test func `targets import what they declare and declare what they import`() throws {
        let manifest = try Manifest.read()
        let programs = Set(manifest.targets.filter { $0.type == "executable" }.map(\.module))
        var found: [String: [String]] = [:]
        for target in manifest.targets where target.type != "system-target" {
            let files = SourceTree.swift(below: target.path).filter { file in
                !target.exclude.contains { excluded in
                    let place = "\(target.path)/\(excluded)"
                    return file.path == place || file.path.hasPrefix(place + "/")
                }
            }
            guard !files.isEmpty else { continue }
            let imports = Set(files.flatMap { Self.imports(in: $0.code) })
            let declared = Set(target.dependencies)
            for module in imports.subtracting(declared).subtracting(Self.toolchain).sorted() {
                found[target.name, default: []].append("imports \(module) without declaring it")
            }
            // A program that a test runs as a process is built because it is declared.
            for module in declared.subtracting(imports).subtracting(programs).sorted() {
                found[target.name, default: []].append("declares \(module) without importing it")
            }
        }
        try Ratchet(name: "imports", advice: "Change Package.swift.").check(found)
    }

    /// The modules that Swift code imports.
    static func imports(in code: String) -> [String] {
        code.split(separator: "\n").compactMap { line in
            let words = line.split(separator: " ")
            guard let place = words.firstIndex(of: "import"), place + 1 < words.count,
                words[..<place].allSatisfy({ word in
                    word.hasPrefix("@")
                        || ["public", "package", "internal", "private", "fileprivate"]
                            .contains(word)
                })
            else { return nil }
            let kinds: Set<Substring> = [
                "struct", "class", "enum", "protocol", "func", "let", "var",
            ]
            let name = kinds.contains(words[place + 1]) ? words[place + 2] : words[place + 1]
            return String(name.prefix { $0 != "." })
        }
    }
}

/// The package's targets, as SwiftPM understands `Package.swift`.
struct Manifest {
    struct Target {
        let name: String
        let type: String
        let path: String
        let exclude: [String]
        /// Modules of targets and products.
        let dependencies: [String]
        var module: String { name.replacing("-", with: "_") }
    }

    let targets: [Target]

    static func read() throws -> Manifest {
        // In a folder of its own: the process that runs this test holds the lock of `.build`.
        let scratch = FileManager.default.temporaryDirectory
            .appending(path: "oversync-tidy-\(ProcessInfo.processInfo.processIdentifier)")
        defer { try? FileManager.default.removeItem(at: scratch) }
        let text = try Command.output([
            "swift", "package", "--scratch-path", scratch.path, "dump-package",
        ])
        let dump = try JSONDecoder().decode(Dump.self, from: Data(text.utf8))
        return Manifest(
            targets: dump.targets.map { target in
                Target(
                    name: target.name, type: target.type, path: target.path ?? "",
                    exclude: target.exclude,
                    dependencies: target.dependencies.map { $0.replacing("-", with: "_") })
            })
    }

    private struct Dump: Decodable {
        let targets: [Entry]

        struct Entry: Decodable {
            let name: String
            let type: String
            let path: String?
            let exclude: [String]
            let dependencies: [String]

            enum CodingKeys: String, CodingKey { case name, type, path, exclude, dependencies }

            init(from decoder: any Decoder) throws {
                let container = try decoder.container(keyedBy: CodingKeys.self)
                name = try container.decode(String.self, forKey: .name)
                type = try container.decode(String.self, forKey: .type)
                path = try container.decodeIfPresent(String.self, forKey: .path)
                exclude = try container.decode([String].self, forKey: .exclude)
                dependencies = try container.decode([Dependency].self, forKey: .dependencies)
                    .map(\.name)
            }
        }

        /// `{"byName": ["Model", null]}` or `{"product": ["NIOCore", "swift-nio", …]}`.
        struct Dependency: Decodable {
            let name: String

            struct Key: CodingKey {
                let stringValue: String
                let intValue: Int? = nil
                init?(stringValue: String) { self.stringValue = stringValue }
                init?(intValue: Int) { nil }
            }

            init(from decoder: any Decoder) throws {
                let container = try decoder.container(keyedBy: Key.self)
                guard let key = container.allKeys.first else {
                    throw DecodingError.dataCorrupted(
                        .init(codingPath: decoder.codingPath, debugDescription: "no dependency"))
                }
                var parts = try container.nestedUnkeyedContainer(forKey: key)
                name = try parts.decode(String.self)
            }
        }
    }
}
