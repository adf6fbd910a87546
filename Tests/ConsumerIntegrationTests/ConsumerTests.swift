import Foundation
import Programs
import Testing

/// What an app fetches that depends on this repository. Uses the network, or SwiftPM's cache.
@Suite("Consumers", .serialized, .timeLimit(.minutes(10)))
struct ConsumerTests {
    private static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
    /// Of one resolution; without a cache, all packages are fetched again.
    private static let limit: Duration = .seconds(180)

    @Test(
        "An app that depends on the device resolves GRDB and swift-log, and nothing else",
        arguments: ["OverSQLite", "OverSQLiteTestSupport"])
    func device(product: String) async throws {
        #expect(try await Self.packages(of: product, traits: []) == ["grdb.swift", "swift-log"])
    }

    @Test("The transport for Linux brings its own packages, and none of the server's")
    func asyncHTTP() async throws {
        let packages = try await Self.packages(of: "OverSQLiteAsyncHTTP", traits: ["AsyncHTTP"])
        #expect(packages.isSuperset(of: ["grdb.swift", "async-http-client", "swift-nio"]))
        let server = ["hummingbird", "jwt-kit", "swift-protobuf", "swift-subprocess", "yams"]
        #expect(packages.isDisjoint(with: server))
    }

    /// Resolves a package that depends on one product.
    ///
    /// - Returns: the identities of all packages that it pins.
    private static func packages(of product: String, traits: [String]) async throws -> Set<String> {
        let folder = FileManager.default.temporaryDirectory
            .appending(path: "oversync-consumer-\(UUID().uuidString)")
        let sources = folder.appending(path: "Sources/App")
        try FileManager.default.createDirectory(at: sources, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let manifest = """
            // swift-tools-version: 6.2
            import PackageDescription
            let package = Package(
                name: "app", platforms: [.macOS(.v15), .iOS(.v18)],
                dependencies: [.package(path: "\(root.path)", traits: \(traits))],
                targets: [
                    .executableTarget(
                        name: "App",
                        dependencies: [
                            .product(name: "\(product)", package: "\(root.lastPathComponent)")
                        ])
                ])
            """
        try Data(manifest.utf8).write(to: folder.appending(path: "Package.swift"))
        try Data("import \(product)\n".utf8).write(to: sources.appending(path: "main.swift"))
        // The versions of this machine need no look-up.
        try? FileManager.default.copyItem(
            at: root.appending(path: "Package.resolved"),
            to: folder.appending(path: "Package.resolved"))

        let resolution = try await Program(
            "swift", ["package", "--package-path", folder.path, "resolve"]
        ).result(within: limit)
        try #require(resolution.status == 0, "\(resolution.text)")

        struct Resolved: Decodable {
            struct Pin: Decodable { let identity: String }
            let pins: [Pin]
        }
        let resolved = try Data(contentsOf: folder.appending(path: "Package.resolved"))
        return Set(try JSONDecoder().decode(Resolved.self, from: resolved).pins.map(\.identity))
    }
}
