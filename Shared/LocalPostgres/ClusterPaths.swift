import Foundation

/// Where the parts of a cluster lie.
struct ClusterPaths: Sendable {
    /// The longest path of a Unix socket on Linux, in bytes, without the closing zero.
    static let maximumSocketPath = 107
    /// The file that PostgreSQL puts into the socket directory; the port is only a name here.
    static let socketName = "/.s.PGSQL.5432"

    let root: String

    var data: String { "\(root)/data" }
    var log: String { "\(root)/server.log" }
    var settings: String { "\(data)/oversync.conf" }
    var processFile: String { "\(data)/postmaster.pid" }

    /// Next to the data, or in a short place when that path is too long for a socket.
    var sockets: String {
        let beside = "\(root)/sockets"
        let length = beside.utf8.count + Self.socketName.utf8.count
        return length <= Self.maximumSocketPath ? beside : "/tmp/oversync-\(Self.hash(of: root))"
    }

    /// The place used instead of one that the server's user cannot reach.
    static func fallback(for root: String) -> String {
        "/var/tmp/oversync-\(hash(of: root))"
    }

    /// FNV-1a, 64 bits: the same in every run, which Swift's own hash is not.
    static func hash(of text: String) -> String {
        let value = text.utf8.reduce(UInt64(0xcbf2_9ce4_8422_2325)) { hash, byte in
            (hash ^ UInt64(byte)) &* 0x100_0000_01b3
        }
        return String(value, radix: 16)
    }
}
