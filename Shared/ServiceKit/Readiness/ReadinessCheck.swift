/// Something that keeps a service from its work, or from a part of it.
package struct ReadinessProblem: Hashable, Sendable {
    /// In words for an operator: what is wrong, and what to do.
    package let text: String
    /// Whether the service can serve nothing because of it; else it serves the rest.
    package let isBlocking: Bool

    private init(_ text: String, isBlocking: Bool) {
        self.text = text
        self.isBlocking = isBlocking
    }

    /// The service is not ready because of it.
    package static func blocking(_ text: String) -> ReadinessProblem {
        ReadinessProblem(text, isBlocking: true)
    }

    /// The service is degraded because of it.
    package static func degrading(_ text: String) -> ReadinessProblem {
        ReadinessProblem(text, isBlocking: false)
    }
}

/// Something that a service needs, and how to find out whether it is there.
package struct ReadinessCheck: Sendable {
    /// How long a probe may take; one that takes longer counts as a problem from then on until it answers.
    package static let limit: Duration = .milliseconds(600)

    /// What is probed, as the beginning of its problems: `PostgreSQL: does not answer within 600 ms`.
    package let name: String
    /// What is wrong now. Called again and again, never twice at the same time. It may take as long as it wants, but
    /// should give up after ``limit``.
    package let probe: @Sendable () async -> [ReadinessProblem]

    package init(_ name: String, probe: @escaping @Sendable () async -> [ReadinessProblem]) {
        self.name = name
        self.probe = probe
    }

    /// A check with one possible problem, which is blocking.
    package init(_ name: String, problem: @escaping @Sendable () async -> String?) {
        self.init(name, probe: { await problem().map { [.blocking($0)] } ?? [] })
    }
}
