import Foundation

/// The files of this repository.
enum Repository {
    static let root = URL(filePath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent().deletingLastPathComponent()
    /// What people write; the rest was fetched or made.
    private static let folders = [
        "Client", "Deploy", "Docs", "Services", "Shared", "Tests", "Tools",
    ]

    static func text(of path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// All files of some kinds (their extensions), with their paths from the root.
    ///
    /// - Parameter folders: where to look; the root's own files are looked at too where it is nil.
    static func texts(
        ofKinds kinds: Set<String>, in folders: [String]? = nil
    ) throws -> [(path: String, text: String)] {
        var paths =
            try folders == nil ? FileManager.default.contentsOfDirectory(atPath: root.path) : []
        for folder in folders ?? Self.folders {
            let below = try FileManager.default.subpathsOfDirectory(
                atPath: root.appending(path: folder).path)
            paths += below.map { folder + "/" + $0 }
        }
        return try paths.sorted().compactMap { path in
            guard !path.contains("/Generated/"), kinds.contains(URL(filePath: path).pathExtension),
                try isFile(path), let text = try? text(of: path)
            else { return nil }
            return (path, text)
        }
    }

    private static func isFile(_ path: String) throws -> Bool {
        let values = try root.appending(path: path).resourceValues(forKeys: [.isRegularFileKey])
        return values.isRegularFile == true
    }
}
