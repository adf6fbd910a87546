/// Variables that look like settings and are none: a misspelt name is otherwise a setting that silently has its default.
struct UnknownVariables {
    /// The most names that are listed one by one.
    private static let maximumNames = 10
    private static let prefix = "OVERSYNC_"
    /// Of OpenTelemetry's variables only some are read.
    private static let standardPrefix = "OTEL_"

    private let names: [String]
    private let standardNames: [String]

    init(_ configuration: Configuration) {
        func unknown(_ prefix: String) -> [String] {
            configuration.environment.keys
                .filter { $0.uppercased().hasPrefix(prefix) && !Self.isKnown($0) }.sorted()
        }
        names = unknown(Self.prefix)
        standardNames = unknown(Self.standardPrefix)
    }

    /// One sentence for each.
    var warnings: [String] {
        var warnings = names.prefix(Self.maximumNames).map { name in
            guard let closest = Self.closest(to: name) else {
                return "\(name) is not a setting of Oversync"
            }
            return "\(name) is not a setting of Oversync; did you mean \(closest)?"
        }
        if names.count > Self.maximumNames {
            warnings.append(
                "\(names.count - Self.maximumNames) more variables are not settings of Oversync")
        }
        return warnings
            + standardNames.prefix(Self.maximumNames).map { "\($0) is not read by Oversync" }
    }

    private static func isKnown(_ name: String) -> Bool {
        KnownSettings.names.contains(name) || KnownSettings.names.contains(withoutSuffix(name))
    }

    private static func withoutSuffix(_ name: String) -> String {
        let suffix = Configuration.fileSuffix
        return name.hasSuffix(suffix) ? String(name.dropLast(suffix.count)) : name
    }

    /// The known name that takes the fewest edits, if that is a small part of it, or that this one abbreviates.
    static func closest(to name: String) -> String? {
        let name = name.uppercased()
        let bare = withoutSuffix(name)
        let suffix = name.dropFirst(bare.count)
        let base = bare.dropFirst(prefix.count)
        let ours = KnownSettings.names.filter { $0.hasPrefix(prefix) }
        let candidates = ours.sorted().map { known in
            (known, EditDistance.between(base, known.dropFirst(prefix.count)))
        }
        guard let best = candidates.min(by: { $0.1 < $1.1 }) else { return nil }
        if best.1 <= max(2, base.count / 3) { return best.0 + suffix }
        guard base.count >= shortestAbbreviation else { return nil }
        return candidates.first { $0.0.hasPrefix(bare) }.map { $0.0 + suffix }
    }

    /// Fewest letters that stand for a longer name.
    private static let shortestAbbreviation = 4
}

/// How many letters must be inserted, deleted or replaced, or swapped with their neighbour, to get from one word to
/// another.
enum EditDistance {
    static func between(_ first: some StringProtocol, _ second: some StringProtocol) -> Int {
        let (a, b) = (Array(first.utf8), Array(second.utf8))
        var beforeLast: [Int] = []
        var last = Array(0...b.count)
        for i in a.indices {
            var row = [i + 1]
            for j in b.indices {
                var best = min(row[j] + 1, last[j + 1] + 1, last[j] + (a[i] == b[j] ? 0 : 1))
                if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] {
                    best = min(best, beforeLast[j - 1] + 1)
                }
                row.append(best)
            }
            (beforeLast, last) = (last, row)
        }
        return last[b.count]
    }
}
