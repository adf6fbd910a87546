import Glibc

/// One socket file as it was found. A replica that starts again under its old name makes a new
/// file, so it differs from its predecessor and is tried at once.
struct SocketFile: Hashable, Sendable {
    let replica: String
    let inode: UInt64
    /// Inode numbers are soon used again; with the time of creation they are not.
    let changedNanoseconds: Int64
}

/// The directory in which the replicas of one service meet their clients.
struct SocketDirectory: Sendable {
    let path: String

    /// Makes the directory, and those above it, for the owner and the group.
    func create() throws(SocketError) {
        var prefix = path.hasPrefix("/") ? "" : "."
        for part in path.split(separator: "/") {
            prefix += "/\(part)"
            if mkdir(prefix, 0o770) != 0, errno != EEXIST {
                throw .system(operation: "create directory", path: prefix, errno: errno)
            }
        }
    }

    /// The sockets that are there. A directory that does not exist yet holds none.
    func sockets() throws(SocketError) -> [SocketFile] {
        try names().compactMap { name in
            guard let replica = SocketPath.replica(ofFile: name) else { return nil }
            var info = stat()
            // Gone since the directory was read: not there.
            guard lstat("\(path)/\(name)", &info) == 0 else { return nil }
            guard info.st_mode & S_IFMT == S_IFSOCK else { return nil }
            let changed = Int64(info.st_ctim.tv_sec) &* 1_000_000_000 &+ Int64(info.st_ctim.tv_nsec)
            return SocketFile(
                replica: replica, inode: UInt64(info.st_ino), changedNanoseconds: changed)
        }
    }

    /// Removes what replicas that died have left, except for `keeping`. Returns their sockets.
    ///
    /// Replicas named after containers never come back under their old names, and their files
    /// would pile up. A process that gets a lock knows that the lock's owner is dead, even if it
    /// ran in another container.
    func removeAbandoned(keeping replica: String) throws(SocketError) -> [String] {
        var removed: [String] = []
        // A replica without a lock is not one of ours; one that ended in good order left its lock alone.
        for other in try names().compactMap(SocketPath.replica(ofLock:)) where other != replica {
            // Too long a name here: the directory has a shorter path where that replica runs. Not
            // ours to judge.
            guard let path = try? SocketPath(directory: path, replica: other),
                let lock = try? SocketLock(path: path)
            else { continue }
            if access(path.socket, F_OK) == 0 { removed.append(path.socket) }
            lock.removeFiles()
        }
        return removed
    }

    /// What keeps a replica from having its socket here. Nothing is made or changed.
    ///
    /// - Parameter mode: what must be permitted in the directory, as for `access(2)`.
    func problem(mode: Int32) -> SocketError? {
        var info = stat()
        if stat(path, &info) == 0 {
            let isDirectory = info.st_mode & S_IFMT == S_IFDIR
            guard isDirectory else {
                return .system(operation: "use directory", path: path, errno: ENOTDIR)
            }
            guard access(path, mode) != 0 else { return nil }
            return .system(operation: "use directory", path: path, errno: errno)
        }
        guard errno == ENOENT else {
            return .system(operation: "use directory", path: path, errno: errno)
        }
        // It will be made, and those above it.
        guard let slash = path.lastIndex(of: "/"), slash != path.startIndex else { return nil }
        return SocketDirectory(path: String(path[..<slash])).problem(mode: W_OK | X_OK)
    }

    private func names() throws(SocketError) -> [String] {
        guard let directory = opendir(path) else {
            if errno == ENOENT { return [] }
            throw .system(operation: "read directory", path: path, errno: errno)
        }
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
                pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
            }
            names.append(name)
        }
        return names
    }
}
