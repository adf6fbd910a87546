import Foundation
import HTTPTypes
import Hummingbird
import Model
import RPC
import Synchronization
import Telemetry
import Traces

/// What belongs to one request on its way through the gateway.
struct RequestScope: Sendable {
    let requestID: String
    /// Its place in a trace, if it has one: the client's, or that of the gateway's own span.
    var trace: TraceContext?
    let deadline: ContinuousClock.Instant
    /// The gateway's word that it stays until the request is answered; nil when it goes down.
    let admission: Drain.Admission?
    /// Set once the token is checked.
    var verified: VerifiedCaller?
    var caller: CallerIdentity? {
        var caller = verified?.identity
        caller?.keyKinds = keyKinds
        return caller
    }
    /// The kinds of keys that the client asks for.
    private let keyKinds: [String]
    /// Where its client is, on routes whose calls are recorded with it.
    var address: PeerAddress?
    /// How long it waited for news, which is no time of the server's, and whether any came.
    let waited = WaitedTime()
    /// What became of its changes, or how many rows it was answered.
    let counts = RequestCounts()
    /// What its client has shown a certificate of, on the same routes.
    var certificate: ClientCertificate?
    /// What the gateway holds for the request, once it is known whose it is.
    private(set) var held: HeldBytes?

    /// Longest request id taken over from a caller, in characters.
    private static let maximumIDLength = 64

    init(_ request: Request, timeout: Duration, _ admission: Drain.Admission?) {
        self.admission = admission
        let given = request.headers[.requestID]
        requestID = given.flatMap { Self.isSane($0) ? $0 : nil } ?? RequestID.fresh()
        trace = request.headers[.traceparent].flatMap {
            TraceContext(traceparent: $0, tracestate: request.headers[.tracestate])
        }
        keyKinds = request.keyKinds
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
            requestID: requestID, trace: trace, deadline: deadline + waiting,
            caller: caller, clientAddress: address?.description)
    }

    private static func isSane(_ id: String) -> Bool {
        (1...maximumIDLength).contains(id.utf8.count)
            && id.utf8.allSatisfy { byte in
                byte &- 0x30 < 10 || (byte | 0x20) &- 0x61 < 26 || byte == 0x2D || byte == 0x2E
                    || byte == 0x5F
            }
    }
}

/// For how long a request waited for news.
final class WaitedTime: Sendable {
    private let microseconds = Atomic<Int64>(0)
    private let idle = Atomic(false)

    /// Whether it was answered that there is no news.
    var isIdle: Bool { idle.load(ordering: .relaxed) }

    func foundNothing() { idle.store(true, ordering: .relaxed) }

    var time: Duration { .microseconds(microseconds.load(ordering: .relaxed)) }

    /// More of it.
    func add(_ time: Duration) {
        let more = Int64(clamping: time.milliseconds * 1000)
        microseconds.wrappingAdd(more, ordering: .relaxed)
    }

    /// As a service tells it. No service waits for longer than it was asked to.
    func add(microseconds told: UInt64) {
        let most = UInt64(WireLimits.maximumWaitSeconds) * 1_000_000
        microseconds.wrappingAdd(Int64(min(told, most)), ordering: .relaxed)
    }
}

extension CallerIdentity {
    /// Limits compare users and devices as the services do, byte for byte.
    var userID: UserID { UserID(user) }
    var deviceID: DeviceID { DeviceID(device) }
}

extension HTTPField.Name {
    static let requestID = Self("X-Request-Id")!
    static let traceparent = Self(TraceField.parent)!
    static let tracestate = Self(TraceField.state)!
    static let epoch = Self("Oversync-Epoch")!
    static let history = Self("Oversync-History")!
    static let tables = Self("Oversync-Tables")!
    static let keyKinds = Self("Oversync-Key-Kinds")!
    static let lastEventID = Self("Last-Event-ID")!
    static let deprecation = Self("Deprecation")!
    static let apiVersion = Self("Oversync-API-Version")!
}
