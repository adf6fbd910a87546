import Foundation

/// The folder of a private stack: by default `.oversync/` in the working directory.
package struct StackDirectory: Sendable {
    /// Absolute path.
    package let root: String

    package init(_ path: String) {
        root = URL(fileURLWithPath: path).standardizedFileURL.path
    }

    /// How to reach the stack, while it runs.
    package var description: String { root + "/stack.json" }
    /// The tables that the stack was started with.
    package var registrations: String { root + "/oversync.yaml" }
}
