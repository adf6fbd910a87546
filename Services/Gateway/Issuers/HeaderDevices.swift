import HTTPTypes
import Model
import Protos
import RPC
import ServiceKit
import Synchronization

extension HTTPField.Name {
    /// Names the device, for tokens of issuers that name none.
    static let device = Self("Oversync-Device")!
}

/// Devices that requests name by a header. Upload binds each to the user who names it first; what
/// it has said is remembered for a while.
final class HeaderDevices: Sendable {
    typealias Instant = ContinuousClock.Instant

    /// How long a binding is not asked for again: an operator may remove it.
    static let lifetime: Duration = .seconds(300)
    /// Bindings remembered. Over it those go that are too old, and if that is less than half, all.
    private static let maximumKnown = 100_000

    private struct Binding: Hashable {
        let user: UserID
        let device: DeviceID
    }

    /// Asks Upload.
    private let claim: @Sendable (CallContext) async throws -> Void
    private let known = Mutex<[Binding: Instant]>([:])

    init(claim: @escaping @Sendable (CallContext) async throws -> Void) { self.claim = claim }

    convenience init(upload: RPCClient) {
        self.init { context in
            do {
                _ = try await upload.call(
                    UploadRPC.claimDevice, ClaimDeviceRequest(), context: context)
            } catch let failure as RPCFailure where failure.code == "unknown_method" {
                throw RPCFailure.unavailable(
                    "The Upload service is of a version that binds no devices; update it")
            }
        }
    }

    /// The device that a request names.
    ///
    /// - Throws: `WireError` 400.
    static func name(in headers: HTTPFields) throws(WireError) -> String {
        let values = headers[values: .device]
        guard values.count == 1, let name = values.first,
            (1...WireLimits.maximumIdentityBytes).contains(name.utf8.count),
            name.utf8.allSatisfy({ 0x21...0x7E ~= $0 })
        else {
            throw .invalid(
                "\(HTTPField.Name.device.rawName) must name the device, once: 1 to "
                    + "\(WireLimits.maximumIdentityBytes) visible characters of ASCII")
        }
        return name
    }

    /// Sees that the caller's device is its user's.
    ///
    /// - Throws: `RPCFailure`: 403 for a device of another user, or one too many.
    func bind(_ context: CallContext) async throws {
        let caller = try context.requiredCaller()
        let binding = Binding(user: caller.userID, device: caller.deviceID)
        let since = known.withLock { $0[binding] }
        if let since, .now - since < Self.lifetime { return }
        do {
            try await claim(context)
        } catch let failure as RPCFailure where failure.status == .unavailable && since != nil {
            // It was the user's. While Upload is away the device can still read.
            return
        }
        known.withLock { known in
            if known.count >= Self.maximumKnown {
                known = known.filter { .now - $0.value < Self.lifetime }
                if known.count > Self.maximumKnown / 2 { known = [:] }
            }
            known[binding] = .now
        }
    }
}
