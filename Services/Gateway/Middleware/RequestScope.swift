import Foundation
import HTTPTypes
import Hummingbird
import Model
import RPC
import Telemetry

/// What belongs to one request on its way through the gateway.
struct RequestScope: Sendable {
    let requestID: String
    let traceparent: String?
    let deadline: ContinuousClock.Instant
    /// The gateway's word that it stays until the request is answered; nil when it goes down.
    let admission: Drain.Admission?
    /// Set once the token is checked.
    var verified: VerifiedCaller?
    var caller: CallerIdentity? { verified?.identity }
    /// Where its client is, on routes whose calls are recorded with it.
    var address: PeerAddress?
    /// What the gateway holds for the request, once it is known whose it is.
    private(set) var held: HeldBytes?

    /// Longest request id taken over from a caller, in characters.
    private static let maximumIDLength = 64

    init(_ request: Request, timeout: Duration, _ admission: Drain.Admission?) {
        self.admission = admission
        let given = request.headers[.requestID]
        requestID = given.flatMap { Self.isSane($0) ? $0 : nil } ?? Self.freshID()
        traceparent = request.headers[.traceparent].flatMap { Self.isTraceparent($0) ? $0 : nil }
        deadline = .now + timeout
    }

    /// From now on bytes are held for the request, until its answer has left.
    mutating func hold(_ bytes: HeldBytes) {
        held = bytes
        admission?.keep(bytes)
    }

    /// The context of calls to services, some time longer than the request's own limit where it waits.
    func context(waiting: Duration = .zero) -> CallContext {
        CallContext(
            requestID: requestID, traceparent: traceparent, deadline: deadline + waiting,
            caller: caller, clientAddress: address?.description)
    }

    private static func isSane(_ id: String) -> Bool {
        (1...maximumIDLength).contains(id.utf8.count)
            && id.utf8.allSatisfy { byte in
                byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26 || byte == 0x2D || byte == 0x2E
                    || byte == 0x5F
            }
    }

    /// `00-<32 hex>-<16 hex>-<2 hex>` (W3C Trace Context).
    private static func isTraceparent(_ text: String) -> Bool {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false).map(\.utf8.count)
        return parts == [2, 32, 16, 2]
            && text.utf8.allSatisfy { $0 == 0x2D || $0 &- 0x30 < 10 || $0 &- 0x61 < 6 }
    }

    /// 96 random bits in hexadecimal: enough to be unique, short enough to read out on the phone.
    private static func freshID() -> String {
        let words = (UInt64.random(in: 0 ... .max), UInt32.random(in: 0 ... .max))
        return withUnsafeBytes(of: words) { hexadecimal($0.prefix(randomBytes)) }
    }

    private static let randomBytes = 12
}

extension CallerIdentity {
    /// Limits compare users and devices as the services do, byte for byte.
    var userID: UserID { UserID(user) }
    var deviceID: DeviceID { DeviceID(device) }
}

extension HTTPField.Name {
    static let requestID = Self("X-Request-Id")!
    static let traceparent = Self("traceparent")!
    static let epoch = Self("Oversync-Epoch")!
    static let history = Self("Oversync-History")!
    static let tables = Self("Oversync-Tables")!
    static let lastEventID = Self("Last-Event-ID")!
    static let deprecation = Self("Deprecation")!
    static let apiVersion = Self("Oversync-API-Version")!
}
