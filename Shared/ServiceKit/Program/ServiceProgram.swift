import RPC

/// A service as an operator sees it: its name, its settings, and what can be wrong with them.
package struct ServiceProgram: Sendable {
    /// Such as `oversync-upload`.
    package let name: String
    /// One sentence for `--help`.
    let purpose: String
    /// What it reads in addition to `CommonSettings.all`.
    package let settings: [any DescribedSetting]
    /// The subdirectory of its sockets; nil for a service that only calls others.
    let socketFolder: String?
    private let check: @Sendable (Configuration) -> [ConfigurationError]
    private let suspicions: @Sendable (Configuration) -> [String]

    /// - Parameters:
    ///   - suspicions: finds what the service can run with, and an operator should know of.
    ///   - check: finds what no single setting shows: files, and settings that do not fit together.
    ///     It does not repeat what is wrong with a single value, and connects nowhere.
    package init(
        name: String, purpose: String, settings: [any DescribedSetting], socketFolder: String?,
        suspicions: @escaping @Sendable (Configuration) -> [String] = { _ in [] },
        check: @escaping @Sendable (Configuration) -> [ConfigurationError]
    ) {
        self.name = name
        self.purpose = purpose
        self.settings = settings
        self.socketFolder = socketFolder
        self.suspicions = suspicions
        self.check = check
    }

    package var allSettings: [any DescribedSetting] { CommonSettings.all + settings }

    /// Everything that is wrong with a configuration, as far as that shows without starting anything.
    package func problems(in configuration: Configuration) -> [ConfigurationError] {
        let single = allSettings.compactMap { $0.problem(in: configuration) }
        // A value that cannot be read fails every check that needs it.
        let known = Set(single.map(\.key))
        let more =
            (socketProblems(in: configuration) + ExportSettings.problems(in: configuration)
            + check(configuration)).filter { !known.contains($0.key) }
        return single + more
    }

    /// What is suspicious in a configuration that can be used.
    package func warnings(in configuration: Configuration) -> [String] {
        UnknownVariables(configuration).warnings + suspicions(configuration)
    }

    private func socketProblems(in configuration: Configuration) -> [ConfigurationError] {
        guard let run = try? configuration.value(CommonSettings.runDirectory),
            let replica = try? configuration.value(CommonSettings.replica)
        else { return [] }
        let problem =
            socketFolder.map { RPCServer.problem(directory: run + "/" + $0, replica: replica) }
            ?? RPCClient.problem(directory: run)
        return problem.map { [ConfigurationError($0, replica: replica)] } ?? []
    }

    var help: String {
        var lines = [
            "\(name): \(purpose)", "", "usage: \(name) [--check | --health | --version | --help]",
            "", ProgramCommand.usage, "",
            "Settings are environment variables. X_FILE names a file that holds the value of X.",
            "",
        ]
        for setting in allSettings {
            lines.append("  \(setting.key)")
            lines.append("      \(setting.help)")
            let fallback =
                setting.isRequired ? "required" : setting.defaultText.map { "default \($0)" }
            lines.append(
                "      " + [setting.allowed, fallback].compactMap(\.self).joined(separator: "; "))
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

extension ConfigurationError {
    /// The setting that must change so that a socket can be had.
    init(_ error: SocketError, replica: String) {
        switch error {
        case .ownedByAnother, .invalidReplicaName:
            self.init(key: CommonSettings.replica.key, reason: "cannot be \(replica): \(error)")
        case .pathTooLong(let path):
            // The longer half is the one to shorten.
            let isName = replica.utf8.count > path.utf8.count / 2
            self.init(
                key: (isName ? CommonSettings.replica : CommonSettings.runDirectory).key,
                reason: "is too long: \(error)")
        case .system:
            self.init(
                key: CommonSettings.runDirectory.key,
                reason: "cannot be used: \(error); make it a directory that this user may write to")
        }
    }
}
