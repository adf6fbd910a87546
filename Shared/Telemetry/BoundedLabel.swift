import Synchronization

/// Limits the values of a label that come from outside, such as names of tables: the first ones are
/// kept up to a limit, and all others become `other`.
///
/// A catalog limits the number of tables at one time, but not the number of names over the life of
/// a process.
package final class BoundedLabel: Sendable {
    /// Stands for every value beyond the limit.
    package static let other = "other"
    /// Values of one label that are kept: as many tables as can be registered in earnest.
    package static let maximumValues = 200

    private let limit: Int
    private let known = Mutex<Set<String>>([])

    package init(limit: Int = maximumValues) { self.limit = limit }

    /// The value, or ``other``.
    package func value(_ text: String) -> String {
        known.withLock { known in
            if known.contains(text) { return text }
            guard known.count < limit else { return Self.other }
            known.insert(text)
            return text
        }
    }
}
