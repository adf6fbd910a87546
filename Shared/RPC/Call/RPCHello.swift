import Protos

/// What a process says of itself when a connection begins, so that two versions that do not understand each other
/// notice before the first call.
package struct RPCHello: Hashable, Sendable {
    /// Of the frames and methods that this code speaks. `oldestRPCVersion` decides who is refused.
    package static let currentRPCVersion = 1
    /// The oldest version that this code still understands.
    package static let oldestRPCVersion = 1
    /// How far apart the layouts of two programs may be: code at layout N works with databases at N and N + 1.
    package static let maximumLayoutDistance = 1

    package var rpcVersion = Self.currentRPCVersion
    package var oldestRPCVersion = Self.oldestRPCVersion
    /// For people: the version of the program; empty if it does not say.
    package var productVersion: String
    /// The layout of the database that the program is made for; 0 if it does not say.
    package var layout: Int

    package init(productVersion: String = "", layout: Int = 0) {
        self.productVersion = productVersion
        self.layout = layout
    }

    /// Whether calls may go from one to the other.
    package func worksWith(_ other: RPCHello) -> Bool {
        guard rpcVersion >= other.oldestRPCVersion, other.rpcVersion >= oldestRPCVersion else {
            return false
        }
        guard layout > 0, other.layout > 0 else { return true }
        return abs(layout - other.layout) <= Self.maximumLayoutDistance
    }
}

extension RPCHello: CustomStringConvertible {
    /// Such as `1.4.0 (RPC 3, from 2 on; layout 11)`.
    package var description: String {
        let version = productVersion.isEmpty ? "unknown version" : productVersion
        let layout = layout > 0 ? "; layout \(layout)" : ""
        return "\(version) (RPC \(rpcVersion), from \(oldestRPCVersion) on\(layout))"
    }
}

extension RPCHello {
    /// Characters of a version that a peer names, beyond which it is cut.
    private static let maximumVersionLength = 64

    func wire(_ status: ServiceStatus) -> WireHello {
        var wire = WireHello()
        wire.rpcVersion = UInt32(clamping: rpcVersion)
        wire.oldestRpcVersion = UInt32(clamping: oldestRPCVersion)
        wire.productVersion = productVersion
        wire.layout = UInt32(clamping: layout)
        wire.status = status.wire
        return wire
    }

    init(wire: WireHello) {
        self.init(
            productVersion: String(wire.productVersion.prefix(Self.maximumVersionLength)),
            layout: Int(wire.layout))
        rpcVersion = Int(wire.rpcVersion)
        oldestRPCVersion = Int(wire.oldestRpcVersion)
    }
}
