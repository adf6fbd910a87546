import Glibc

/// The right to serve under a replica's name: a lock on a file next to its socket. The kernel lets
/// go of it when the process dies, however it dies, so a lock that can be had proves that what its
/// last owner left is stale.
struct SocketLock: ~Copyable {
    private let descriptor: Int32
    let path: SocketPath

    /// - Throws: `SocketError.ownedByAnother` while another process, or another server of this
    ///   process, holds it.
    init(path: SocketPath) throws(SocketError) {
        self.path = path
        descriptor = try Self.acquire(path)
    }

    /// Removes the socket, but not the lock: the name is still ours.
    func removeSockets() {
        unlink(path.socket)
        unlink(path.unpublishedSocket)
    }

    /// Removes all files of the replica.
    consuming func removeFiles() {
        removeSockets()
        unlink(path.lock)
    }

    deinit {
        close(descriptor)
    }

    /// How often the file is opened when others remove it between open and lock.
    private static let attempts = 100

    private static func acquire(_ path: SocketPath) throws(SocketError) -> Int32 {
        for _ in 0..<attempts {
            let descriptor = open(path.lock, O_CREAT | O_RDWR | O_CLOEXEC, 0o660)
            guard descriptor >= 0 else {
                throw .system(operation: "open", path: path.lock, errno: errno)
            }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
                let code = errno
                close(descriptor)
                if code == EWOULDBLOCK { throw .ownedByAnother(path: path.socket) }
                throw .system(operation: "lock", path: path.lock, errno: code)
            }
            if isSameFile(descriptor, path.lock) { return descriptor }
            // Somebody removed the file between open and lock: a lock on it excludes nobody.
            close(descriptor)
        }
        throw .system(operation: "lock", path: path.lock, errno: ESTALE)
    }

    private static func isSameFile(_ descriptor: Int32, _ path: String) -> Bool {
        var open = stat()
        var named = stat()
        return fstat(descriptor, &open) == 0 && stat(path, &named) == 0
            && open.st_ino == named.st_ino && open.st_dev == named.st_dev
    }
}
