import Synchronization

/// Something that a running process reads again from files.
package struct Reloadable: Sendable {
    /// In log lines, such as `TLS certificate`.
    let name: String
    let files: [String]
    /// Reads again and takes over what it read.
    ///
    /// Returns whether anything changed; throws when what it read cannot be used, and the old stays.
    let apply: @Sendable () async throws(ConfigurationError) -> Bool

    /// - Parameters:
    ///   - files: read again when one of them changes. Those that are nil are skipped.
    ///   - apply: reads again and takes over what it read. Returns whether anything changed; throws when what it
    ///     read cannot be used, and the old stays.
    package init(
        _ name: String, files: [String?],
        apply: @escaping @Sendable () async throws(ConfigurationError) -> Bool
    ) {
        self.name = name
        self.files = files.compactMap(\.self)
        self.apply = apply
    }
}

/// What a process reads again, collected while its parts are built.
package final class Reloadables: Sendable {
    private let list = Mutex<[Reloadable]>([])

    package init() {}

    package func add(_ more: [Reloadable]) { list.withLock { $0 += more } }

    var all: [Reloadable] { list.withLock { $0 } }
}

/// Decides when files that changed are read: once they have stayed the same for one more look, so that a certificate is
/// not read while its key is still being written.
struct FileWatch {
    /// After a reading that failed, in looks: what was in the way may end without a change of the files.
    static let looksUntilRetry = 20

    private var taken: [FileStamp?]
    private var seen: [FileStamp?]
    private var retryIn: Int?

    init(_ stamps: [FileStamp?]) { (taken, seen) = (stamps, stamps) }

    /// - Returns: whether to read now.
    mutating func look(_ stamps: [FileStamp?]) -> Bool {
        defer { seen = stamps }
        if let left = retryIn { retryIn = max(left - 1, 0) }
        guard stamps == seen, stamps != taken || retryIn == 0 else { return false }
        taken = stamps
        return true
    }

    /// What was read could not be used.
    mutating func failed() { retryIn = Self.looksUntilRetry }

    /// What was read is in use.
    mutating func succeeded() { retryIn = nil }

    /// Somebody read the files for another reason.
    mutating func skip(_ stamps: [FileStamp?]) { (taken, seen) = (stamps, stamps) }
}
