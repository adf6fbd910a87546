import NIOCore

/// A client's address, as far as limits tell clients apart: an IPv4 address, or the first 64 bits
/// of an IPv6 address, which are one customer's.
struct PeerAddress: Hashable, Sendable {
    /// Of a client that has gone before it could be asked.
    static let unknown = PeerAddress(bits: 0, isIPv6: false)

    /// Where the address lies in a `sockaddr_in` and a `sockaddr_in6`, on every system.
    private static let (offset4, offset6) = (4, 8)

    private let bits: UInt64
    private let isIPv6: Bool

    private init(bits: UInt64, isIPv6: Bool) {
        self.bits = bits
        self.isIPv6 = isIPv6
    }

    init(_ address: SocketAddress?) {
        switch address {
        case .v4(let address):
            let number = withUnsafeBytes(of: address.address) {
                UInt32(bigEndian: $0.loadUnaligned(fromByteOffset: Self.offset4, as: UInt32.self))
            }
            self.init(bits: UInt64(number), isIPv6: false)
        case .v6(let address):
            let (high, low) = withUnsafeBytes(of: address.address) { bytes in
                func word(_ offset: Int) -> UInt64 {
                    UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
                }
                return (word(Self.offset6), word(Self.offset6 + 8))
            }
            // An IPv4 address as a socket of both kinds shows it (RFC 4291, 2.5.5.2).
            let isMapped = high == 0 && low >> 32 == 0xFFFF
            self.init(bits: isMapped ? low & 0xFFFF_FFFF : high, isIPv6: !isMapped)
        case .unixDomainSocket, nil: self = .unknown
        }
    }
}

/// As limits and the audit know it.
extension PeerAddress: CustomStringConvertible {
    var description: String {
        guard self != .unknown else { return "unknown" }
        guard isIPv6 else {
            return stride(from: 24, through: 0, by: -8).map { "\(bits >> UInt64($0) & 0xFF)" }
                .joined(separator: ".")
        }
        let groups = stride(from: 48, through: 0, by: -16).map {
            String(bits >> UInt64($0) & 0xFFFF, radix: 16)
        }
        return groups.joined(separator: ":") + "::/64"
    }
}
