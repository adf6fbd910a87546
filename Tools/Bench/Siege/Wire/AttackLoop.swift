import GatewayAccess
import NIOCore
import OperatorKit

/// Connections that each ask again as soon as they are answered, whatever the answer was. A
/// connection that ends is replaced.
struct AttackLoop: Sendable {
    /// Makes a connection's request by the connection's number and its turn.
    typealias Request = @Sendable (_ connection: Int, _ turn: Int) -> ByteBuffer

    /// Between a connection's end and its successor.
    private static let pause: Duration = .milliseconds(250)

    let target: LoadTarget
    let connections: Int
    /// Shortest time from one request of a connection to its next. It keeps the attack from taking
    /// the processors from the servers: to be refused costs as much as to refuse.
    let pace: TimeAmount
    let request: Request

    func run(for seconds: Double) async -> AttackReport {
        let record = AttackRecord()
        await run(for: seconds, record) { HTTP1Wire(connection: $0, request: request) }
        return record.report
    }

    /// - Parameter wire: makes what a connection speaks.
    func run<Wire: AttackWire>(
        for seconds: Double, _ record: AttackRecord, _ wire: @escaping @Sendable (Int) -> Wire
    ) async {
        let end = NIODeadline.now() + .nanoseconds(Int64(seconds * 1e9))
        await withTaskGroup(of: Void.self) { group in
            for index in 0..<connections {
                group.addTask { await keepConnected(until: end, record) { wire(index) } }
            }
        }
    }

    private func keepConnected<Wire: AttackWire>(
        until end: NIODeadline, _ record: AttackRecord, _ wire: @escaping @Sendable () -> Wire
    ) async {
        while NIODeadline.now() < end, !Task.isCancelled {
            do {
                let connection = try await target.connect(promising: Void.self) { [pace] in
                    AttackConnection(wire(), pace: pace, until: end, record, over: $0)
                }
                try await connection.kept.get()
            } catch {
                record.failed(AttackTrouble.name(error))
                try? await Task.sleep(for: Self.pause)
            }
        }
    }
}

/// Why a connection ended, in words that are the same for the same cause.
enum AttackTrouble {
    static func name(_ error: any Error) -> String {
        (error as? StackError)?.description ?? connectionTrouble(error)
    }
}

/// How a connection of an attack puts requests, and finds the answers in what it receives.
protocol AttackWire: Sendable {
    /// What is said before the first request.
    var greeting: ByteBuffer? { get }
    mutating func request(_ turn: Int) -> ByteBuffer
    /// - Throws: `StackError` when these are no answers.
    mutating func take(_ bytes: ByteBuffer) throws -> [AttackAnswer]
    /// What the protocol itself wants to be answered.
    mutating func reply() -> ByteBuffer?
}

/// HTTP/1.1, one request after the other.
struct HTTP1Wire: AttackWire {
    let connection: Int
    let request: AttackLoop.Request
    private var framer = ResponseFramer()

    init(connection: Int, request: @escaping AttackLoop.Request) {
        self.connection = connection
        self.request = request
    }

    var greeting: ByteBuffer? { nil }
    func request(_ turn: Int) -> ByteBuffer { request(connection, turn) }
    func reply() -> ByteBuffer? { nil }

    mutating func take(_ bytes: ByteBuffer) throws -> [AttackAnswer] {
        framer.append(bytes)
        var answers: [AttackAnswer] = []
        while let response = try framer.next() {
            answers.append(
                AttackAnswer(status: response.status, retryAfter: response.retryAfter))
        }
        return answers
    }
}
