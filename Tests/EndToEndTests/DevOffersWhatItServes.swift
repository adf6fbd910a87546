import Foundation
import Testing

@Suite("A development stack offers what it serves", .timeLimit(.minutes(3)))
struct DevOffersWhatItServes {
    @Test("The notes app is offered where its tables are, and not on tables of the developer's own")
    func notes() async throws {
        let folder =
            FileManager.default.temporaryDirectory.path + "/oversync-dev-"
            + UUID().uuidString.prefix(8)
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let (config, schema) = (folder + "/own.yaml", folder + "/own.sql")
        try "tables:\n  - {table: business.books, owner: owner_id}\n"
            .write(toFile: config, atomically: true, encoding: .utf8)
        try """
        CREATE SCHEMA IF NOT EXISTS business;
        CREATE TABLE IF NOT EXISTS business.books (id uuid PRIMARY KEY, owner_id text, title text);
        """.write(toFile: schema, atomically: true, encoding: .utf8)
        let own = try await greeting(folder + "/own", ["--config", config, "--schema", schema])
        #expect(own.contains("a token") && !own.contains("notes"), "\(own)")
        let example = try await greeting(folder + "/example", [])
        #expect(example.contains("an app"), "\(example)")
    }

    /// What `oversync-dev dev` says once it is ready.
    private func greeting(_ directory: String, _ options: [String]) async throws -> String {
        let developer = try Typist(
            "oversync-dev",
            ["dev", "--directory", directory, "--port", "0", "--downloads", "1"] + options,
            columns: 300)
        try await developer.expect("Oversync is ready.")
        try await developer.expect("Ctrl-C stops it.")
        let text = developer.text
        developer.type("\u{3}")
        #expect(try await developer.end() == 0)
        return text
    }
}
