import Foundation
import Yams

/// A mapping of a YAML file.
typealias YAMLMap = [String: Any]

extension YAMLMap {
    func map(_ key: String) -> YAMLMap? { self[key] as? YAMLMap }
    func isTrue(_ key: String) -> Bool { self[key] as? Bool == true }
    /// A scalar, whatever its type.
    func text(_ key: String) -> String? { self[key].map { "\($0)" } }
    /// A list of scalars.
    func list(_ key: String) -> [String] { (self[key] as? [Any] ?? []).map { "\($0)" } }
}

/// What `Deploy/` says.
enum DeployFiles {
    /// Every file that names settings; tests and what `setup.sh` makes are none.
    static func all() throws -> [String] {
        let below = try FileManager.default.contentsOfDirectory(
            atPath: Repository.root.appending(path: "Deploy").path)
        let kinds = ["yaml", "md", "sh"]
        return below.filter {
            kinds.contains(URL(filePath: $0).pathExtension)
                || ["Dockerfile", ".env.example"].contains($0)
        }.map { "Deploy/" + $0 }.sorted()
    }

    /// A service of the compose files.
    static func service(_ name: String) throws -> YAMLMap {
        let file = name == "pgbouncer" ? "compose.pgbouncer.yaml" : "compose.yaml"
        guard let service = try yaml(file).map("services")?.map(name) else {
            throw CocoaError(.keyValueValidation)
        }
        return service
    }

    /// The file of a secret, where nobody says otherwise.
    static func secretFile(_ name: String) throws -> String? {
        for file in ["compose.yaml", "compose.pgbouncer.yaml"] {
            guard let path = try yaml(file).map("secrets")?.map(name)?.text("file") else {
                continue
            }
            return path.replacing(/^\$\{[A-Z_]+:-(.*)\}$/) { String($0.output.1) }
        }
        return nil
    }

    /// The keys of `.env.example` with their values, in comments or not.
    static func example() throws -> [String: String] {
        let text = try Repository.text(of: "Deploy/.env.example")
        let lines = text.matches(of: /(?m)^#?([A-Z0-9_]+)=(.*)$/)
        return Dictionary(
            lines.map { (String($0.output.1), String($0.output.2)) }, uniquingKeysWith: { $1 })
    }

    private static func yaml(_ file: String) throws -> YAMLMap {
        try Yams.load(yaml: Repository.text(of: "Deploy/" + file)) as? YAMLMap ?? [:]
    }
}

/// The stages of `Deploy/Dockerfile`.
enum Dockerfile {
    struct Target {
        let base: String
        var lines: [String] = []

        var entrypoint: [String] { arguments(after: "ENTRYPOINT ") }
        var healthcheck: [String] { arguments(after: "CMD ") }

        /// The list after a word, as in `ENTRYPOINT ["a", "b"]`.
        private func arguments(after word: String) -> [String] {
            guard let line = lines.last(where: { $0.contains(word) }),
                let list = line.components(separatedBy: word).last
            else { return [] }
            return (try? JSONDecoder().decode([String].self, from: Data(list.utf8))) ?? []
        }
    }

    static func targets() throws -> [String: Target] {
        var targets: [String: Target] = [:]
        var current: String?
        for line in try Repository.text(of: "Deploy/Dockerfile").split(separator: "\n") {
            if let stage = line.wholeMatch(of: /FROM (\S+) AS (\S+)/) {
                current = String(stage.output.2)
                targets[String(stage.output.2)] = Target(base: String(stage.output.1))
            } else if let current {
                targets[current]?.lines.append(String(line))
            }
        }
        return targets
    }
}

/// The tables of `Docs/configuration.md`, which `ConfigurationPageTests` holds against the code.
enum ConfigurationPage {
    private static func rows() throws -> [[String]] {
        try Repository.text(of: "Docs/configuration.md").split(separator: "\n")
            .filter { $0.hasPrefix("| `OVERSYNC_") }
            .map { line in
                line.split(separator: "|").map {
                    $0.trimmingCharacters(in: .whitespaces).replacing("`", with: "")
                }
            }
    }

    /// Every variable.
    static func keys() throws -> Set<String> {
        Set(try rows().flatMap { $0[0].components(separatedBy: ", ") })
    }

    /// What a service's settings are by default; a dash where nothing is.
    static func defaults() throws -> [String: String] { try column(2) }
    /// What a service's settings may be.
    static func allowed() throws -> [String: String] { try column(3) }

    /// What a service cannot start without.
    static func required(of service: String) throws -> [String] {
        try rows().filter {
            $0.count == 5 && $0[4].contains("; required")
                && $0[1].components(separatedBy: ", ").contains(service)
        }.map { $0[0] }
    }

    private static func column(_ index: Int) throws -> [String: String] {
        let settings = try rows().filter { $0.count == 5 }
        return Dictionary(settings.map { ($0[0], $0[index]) }, uniquingKeysWith: { $1 })
    }
}
