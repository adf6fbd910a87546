import Protos

/// Whether a process of a service can do its work, and what keeps it from it.
package struct ServiceStatus: Hashable, Sendable {
    package enum State: String, Hashable, Sendable, CaseIterable {
        case ready
        /// Serves, but not everything: some business table cannot be written, for example.
        case degraded
        /// Calls would fail.
        case notReady = "not ready"
    }

    /// More problems than this are not told one by one.
    package static let maximumProblems = 20
    /// Bytes of a problem's text, beyond which it is cut.
    package static let maximumProblemBytes = 400

    package let state: State
    /// In words for an operator. Never empty unless the state is ready.
    package let problems: [String]

    package init(_ state: State, problems: [String] = []) {
        self.state = state
        var told = problems.prefix(Self.maximumProblems).map(Self.cut)
        if problems.count > told.count {
            told[told.count - 1] = "and \(problems.count - told.count + 1) more"
        }
        self.problems = told
    }

    package static let ready = ServiceStatus(.ready)

    package static func notReady(_ problem: String) -> ServiceStatus {
        ServiceStatus(.notReady, problems: [problem])
    }

    /// Whether a call has a chance.
    package var canServe: Bool { state != .notReady }

    private static func cut(_ text: String) -> String {
        guard text.utf8.count > maximumProblemBytes else { return text }
        return String(decoding: text.utf8.prefix(maximumProblemBytes - 3), as: UTF8.self) + "…"
    }
}

extension ServiceStatus {
    var wire: WireServerStatus {
        var wire = WireServerStatus()
        wire.state =
            switch state {
            case .ready: .ready
            case .degraded: .degraded
            case .notReady: .notReady
            }
        wire.problems = problems
        return wire
    }

    /// A state that this version does not know counts as ready: calls will tell.
    init(wire: WireServerStatus) {
        let state: State =
            switch wire.state {
            case .ready, .unspecified, .UNRECOGNIZED: .ready
            case .degraded: .degraded
            case .notReady: .notReady
            }
        self.init(state, problems: wire.problems)
    }
}
