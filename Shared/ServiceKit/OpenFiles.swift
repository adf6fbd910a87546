import Foundation

/// How many files and sockets the process may have open at once.
package enum OpenFiles {
    #if canImport(Darwin)
        private static let resource = RLIMIT_NOFILE
        /// What Darwin takes where a process may have any number.
        private static let most = rlim_t(OPEN_MAX)
    #else
        private static let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        private static let most = rlim_t.max
    #endif

    /// The limit now.
    package static var limit: Int { Int(clamping: read()?.rlim_cur ?? 0) }

    /// Raises the limit as far as the process may without a privilege. Systems begin with a low one
    /// for the sake of old programs alone.
    package static func raise() {
        guard var limit = read(), limit.rlim_cur < min(limit.rlim_max, most) else { return }
        limit.rlim_cur = min(limit.rlim_max, most)
        _ = setrlimit(resource, &limit)
    }

    private static func read() -> rlimit? {
        var limit = rlimit()
        return getrlimit(resource, &limit) == 0 ? limit : nil
    }
}
