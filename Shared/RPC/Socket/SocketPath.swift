import Glibc

/// The files of one replica, in the directory of its service.
package struct SocketPath: Hashable, Sendable {
    /// The kernel's `sun_path` holds 108 bytes, one of them the final zero.
    static let maximumBytes = 107
    static let suffix = ".sock"
    private static let lockSuffix = ".lock"
    /// Longest name of a replica, in bytes.
    package static let maximumReplicaBytes = 64

    let directory: String
    let replica: String

    /// - Throws: `SocketError.invalidReplicaName`, `SocketError.pathTooLong`.
    init(directory: String, replica: String) throws(SocketError) {
        guard Self.isValid(replica: replica) else { throw .invalidReplicaName(replica) }
        self.directory = directory
        self.replica = replica
        guard socket.utf8.count <= Self.maximumBytes else { throw .pathTooLong(path: socket) }
    }

    /// What clients look for.
    var socket: String { "\(directory)/\(replica)\(Self.suffix)" }
    /// The socket before it is ready. Not longer than `socket`, and no client looks for it.
    var unpublishedSocket: String { "\(directory)/\(replica).new" }
    /// Held locked for as long as the replica lives.
    var lock: String { socket + Self.lockSuffix }

    /// 1 to 64 of `A-Z a-z 0-9 . _ -`, not starting with a dot.
    package static func isValid(replica: String) -> Bool {
        (1...maximumReplicaBytes).contains(replica.utf8.count)
            && replica.utf8.first != UInt8(ascii: ".") && replica.utf8.allSatisfy(isAllowed)
    }

    /// Whether a name of a replica may have this byte in it.
    package static func isAllowed(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"),
            UInt8(ascii: "-"):
            true
        default: false
        }
    }

    /// The replica that a file in the directory is the lock of.
    static func replica(ofLock name: String) -> String? {
        guard name.hasSuffix(lockSuffix) else { return nil }
        return replica(ofFile: String(name.dropLast(lockSuffix.count)))
    }

    /// The replica that a file in the directory is the socket of.
    static func replica(ofFile name: String) -> String? {
        guard name.hasSuffix(suffix) else { return nil }
        let replica = String(name.dropLast(suffix.count))
        return isValid(replica: replica) ? replica : nil
    }
}

/// The system's words for an error number.
func systemMessage(_ code: Int32) -> String {
    String(cString: strerror(code))
}
