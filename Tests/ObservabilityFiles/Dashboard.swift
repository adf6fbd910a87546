import Foundation

/// A file of `Deploy/observability/dashboards`.
package struct Dashboard: Sendable {
    package static let folder = "Deploy/observability/dashboards"

    package let file: String
    package let uid: String
    package let title: String
    package let variables: Set<String>
    package let panels: [Panel]

    package struct Panel: Sendable {
        package let id: Int
        package let title: String
        package let type: String
        package let expressions: [String]
    }

    package static func all() throws -> [Dashboard] {
        let names = try FileManager.default.contentsOfDirectory(
            atPath: ObservabilityFiles.root.appending(path: folder).path)
        return try names.filter { $0.hasSuffix(".json") }.sorted().map { name in
            let text = try ObservabilityFiles.text(of: folder + "/" + name)
            return try Dashboard(name, JSONSerialization.jsonObject(with: Data(text.utf8)))
        }
    }

    private init(_ file: String, _ json: Any) throws {
        guard let json = json as? [String: Any], let uid = json["uid"] as? String,
            let title = json["title"] as? String, let panels = json["panels"] as? [[String: Any]]
        else { throw CocoaError(.fileReadCorruptFile) }
        self.file = file
        self.uid = uid
        self.title = title
        let templating = json["templating"] as? [String: Any]
        let variables = templating?["list"] as? [[String: Any]] ?? []
        self.variables = Set(variables.compactMap { $0["name"] as? String })
        self.panels = panels.map { panel in
            let targets = panel["targets"] as? [[String: Any]] ?? []
            return Panel(
                id: panel["id"] as? Int ?? 0, title: panel["title"] as? String ?? "",
                type: panel["type"] as? String ?? "",
                expressions: targets.compactMap { $0["expr"] as? String })
        }
    }
}
