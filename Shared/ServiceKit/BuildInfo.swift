import Foundation
import RPC

/// What this build is: one answer for `--version`, for the replicas that greet each other, and for images' labels.
///
/// The commit is not compiled in, which would rebuild everything for each commit. An installer of the programs in
/// `<prefix>/bin` writes it to `<prefix>/share/oversync/commit`, as `Deploy/Dockerfile` does. Without that file the
/// program is a development build.
package enum BuildInfo {
    /// The product's version. One version for all programs of a release.
    package static let version = "0.1.0"
    /// The newest layout of the sidecar that these programs know. A test compares it with `Migration.currentVersion`,
    /// which the gateway cannot ask: it links no database driver.
    package static let layout = 18
    /// The version of the RPC between services.
    package static let rpc = RPCHello.currentRPCVersion
    /// The version of the protocol that devices speak (`Docs/openapi.yaml`).
    package static let wireProtocol = 1

    /// What the processes of a service and its callers tell each other when they connect.
    package static let hello = RPCHello(productVersion: version, layout: layout)

    /// The git commit that this program was built from, or `development`.
    package static let commit = commit(ofExecutable: ownExecutable)

    /// One line for `--version`.
    package static func line(_ program: String) -> String {
        "\(program) \(version) (commit \(commit), layout \(layout), RPC \(rpc), "
            + "protocol \(wireProtocol))"
    }

    /// Longest commit that is shown, in bytes: a SHA-256 in hexadecimal.
    private static let maximumCommitBytes = 64

    static func commit(ofExecutable path: String) -> String {
        let prefix = URL(fileURLWithPath: path).deletingLastPathComponent()
            .deletingLastPathComponent().path
        guard let text = try? SettingFile.text(of: prefix + "/share/oversync/commit"),
            text.utf8.count <= maximumCommitBytes, text.allSatisfy({ $0.isHexDigit })
        else { return "development" }
        return text
    }

    /// The path of the running program.
    package static var ownExecutable: String {
        let link = try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        return link ?? CommandLine.arguments.first ?? ""
    }
}
