import ServiceKit

/// How many connections the files that a process may open leave room for. Decides; performs
/// nothing.
enum ConnectionRoom {
    /// Most files that are kept for everything else: sockets to the services, event loops, the
    /// admin listener.
    static let mostReserved = 1000
    /// Most connections when nobody says how many: each takes some 40 kB.
    static let mostDerived = 50_000
    /// Connections that are too few for most, whatever the operator expects.
    static let few = 4096

    /// Files for everything else.
    static func reserved(of files: Int) -> Int { min(mostReserved, 64 + files / 16) }

    /// - Parameter configured: 0 leaves it to the files.
    static func connections(_ configured: Int, files: Int) -> Int {
        let fitting = max(1, files - reserved(of: files))
        return configured > 0 ? configured : min(fitting, mostDerived)
    }

    /// What does not fit.
    ///
    /// - Parameters:
    ///   - connections: as configured.
    ///   - watchers: as configured; nil where that is the default.
    ///   - files: that the process may open.
    static func warnings(connections: Int, watchers: Int?, files: Int) -> [String] {
        let limit = LimitSettings.connectionSetting.key
        let reserved = reserved(of: files)
        let raise =
            "raise the limit of open files (ulimit -n, LimitNOFILE of systemd, ulimits of compose)"
        if connections > files - reserved {
            return [
                "\(limit) is \(connections), and this process may open \(files) files, "
                    + "\(reserved) of which it needs for itself: \(raise), or set \(limit) to "
                    + "\(max(1, files - reserved)) or less"
            ]
        }
        let fitting = self.connections(connections, files: files)
        let counted =
            connections > 0
            ? "\(limit) is \(fitting)"
            : "\(files) open files leave "
                + "room for \(fitting) connections"
        if let watchers, watchers > fitting {
            let key = LimitSettings.watcherSetting.key
            let remedy = connections > 0 ? "raise \(limit)" : raise
            return [
                "\(key) is \(watchers), and \(counted): \(remedy), or set \(key) to \(fitting) "
                    + "or less"
            ]
        }
        if connections == 0, fitting < few { return ["\(counted) only: \(raise)"] }
        return []
    }
}
