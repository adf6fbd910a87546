import Foundation

/// How many files this process, and those it starts, may have open.
package enum OpenFiles {
    /// Raises the limit as far as a process may raise its own: a load of a thousand connections
    /// needs more than the usual 1024.
    package static func raiseLimit() {
        var limit = rlimit()
        let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
        guard getrlimit(files, &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(files, &limit)
    }
}
