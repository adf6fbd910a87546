import Compression
import NIOCore
import OperatorKit

/// Many large bodies at once, of several users, so that no user's share of bytes a second is what
/// holds them off.
struct BodyAttack: Attack {
    enum Body: Sendable {
        case plain
        /// Small until it is inflated, to as much as a body may be.
        case gzip
    }

    static let uploads = BodyAttack(
        id: "bodies-400", work: "400 uploads of 190 KB at once", body: .plain, users: 4,
        connectionsPerUser: 100)
    static let gzip = BodyAttack(
        id: "gzip-100", work: "100 gzip bodies at once, each of 16 MiB inflated", body: .gzip,
        users: 10, connectionsPerUser: 10)

    /// About 190 kB: a change of the load has some 385 bytes.
    private static let changes = 495
    private static let inflatedBytes = 16 << 20
    private static let pace: TimeAmount = .milliseconds(2500)

    let id: String
    let work: String
    let body: Body
    let users: Int
    let connectionsPerUser: Int

    func prepare(_ field: SiegeField) async throws -> Assault {
        let requests = try await body == .plain ? plain(field) : compressed(field)
        try await field.ask(requests(0, 0))
        let loop = field.loop(users * connectionsPerUser, pace: Self.pace) { requests($0, $1 + 1) }
        let seconds = field.plan.seconds
        return { await loop.run(for: seconds) }
    }

    func requirements(_ seen: SiegeObservation) -> [Judgement] {
        seen.refusalsAreClean + [seen.memoryReturns(of: "gateway", "upload")]
    }

    private func plain(_ field: SiegeField) async throws -> AttackLoop.Request {
        var uploads: [Uploads] = []
        for user in 0..<users {
            uploads.append(
                try await Uploads(
                    field, connections: connectionsPerUser, UploadMix.inserts.slots(Self.changes),
                    user: "attacker-\(user)"))
        }
        return { [uploads] connection, turn in
            uploads[connection % uploads.count].request(connection / uploads.count, turn)
        }
    }

    /// Blanks between the brackets of an upload without changes: valid, and nothing to write.
    private func compressed(_ field: SiegeField) async throws -> AttackLoop.Request {
        let (start, end) = (#"{"changes":["#, "]}")
        var plain = ByteBuffer(string: start)
        plain.writeRepeatingByte(
            UInt8(ascii: " "), count: Self.inflatedBytes - start.utf8.count - end.utf8.count)
        plain.writeString(end)
        guard let body = Gzip.deflate(plain) else { throw StackError("gzip makes no body") }
        var requests: [ByteBuffer] = []
        for user in 0..<users {
            let device = try await field.device("attacker-\(user)")
            let head = RequestBytes.head("POST", "/sync/upload", token: device.token)
            var request = ByteBuffer(
                string: head + "content-type: application/json\r\ncontent-encoding: gzip\r\n"
                    + "content-length: \(body.readableBytes)\r\n\r\n")
            request.writeImmutableBuffer(body)
            requests.append(request)
        }
        return { [requests] connection, _ in requests[connection % requests.count] }
    }
}
