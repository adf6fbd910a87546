/// Decides which requests' spans are collected, as OpenTelemetry names it.
package struct TraceSampler: Hashable, Sendable, CustomStringConvertible {
    /// What decides where nobody has before.
    package enum Rule: Hashable, Sendable {
        case always
        case never
        /// By the trace's id, so that all processes with the same share decide alike: 0 to 1.
        case share(Double)
    }

    package let rule: Rule
    /// Whether a caller's decision holds.
    package let followsCaller: Bool

    package init(_ rule: Rule, followsCaller: Bool) {
        self.rule = rule
        self.followsCaller = followsCaller
    }

    /// The names that the standard variable takes.
    package static let names = [
        "always_on", "always_off", "traceidratio", "parentbased_always_on",
        "parentbased_always_off", "parentbased_traceidratio",
    ]

    /// - Parameters:
    ///   - name: one of ``names``.
    ///   - share: of the traces, where the name asks for one; 0 to 1.
    package init?(named name: String, share: Double) {
        let rule: Rule
        let prefix = "parentbased_"
        let follows = name.hasPrefix(prefix)
        switch follows ? String(name.dropFirst(prefix.count)) : name {
        case "always_on": rule = .always
        case "always_off": rule = .never
        case "traceidratio": rule = .share(share)
        default: return nil
        }
        self.init(rule, followsCaller: follows)
    }

    package var description: String {
        let name =
            switch rule {
            case .always: "always_on"
            case .never: "always_off"
            case .share: "traceidratio"
            }
        return (followsCaller ? "parentbased_" : "") + name
    }

    /// Whether the request of a caller that has told its place is sampled.
    package func samples(_ caller: TraceContext) -> Bool {
        followsCaller ? caller.isSampled : samples(caller.traceID)
    }

    /// Whether a new trace is.
    package func samples(_ id: TraceID) -> Bool {
        switch rule {
        case .always: true
        case .never: false
        // Of 63 bits, as other implementations compare them.
        case .share(let share): share >= 1 || Double(id.low >> 1) < share * 0x1p63
        }
    }
}
