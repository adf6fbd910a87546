import Foundation
import NIOCore
import OperatorKit

/// One user with a long log that compares its rows without end, on many connections.
struct ComparisonAttack: Attack {
    private static let connections = 60
    private static let rows = 50_000
    /// Rows whose newest changes one request asks for: as many as may be.
    private static let rowsPerRequest = 1000
    private static let pace: TimeAmount = .milliseconds(100)

    static let digests = ComparisonAttack(
        id: "digests-60", work: "60 connections have 50 000 rows summed"
    ) { device, _ in
        RequestBytes.get("/sync/digest", token: device.token)
    }

    static let rows60 = ComparisonAttack(
        id: "rows-60", work: "60 connections ask for the newest changes of 1000 rows"
    ) { device, field in
        let body = try await RowsBody(of: device, field).encoded
        var request = ByteBuffer(
            string: RequestBytes.head("POST", "/sync/rows?after=0", token: device.token)
                + "content-type: application/json\r\ncontent-length: \(body.count)\r\n\r\n")
        request.writeBytes(body)
        return request
    }

    let id: String
    let work: String
    private let request: @Sendable (LoadDevice, SiegeField) async throws -> ByteBuffer

    private init(
        id: String, work: String,
        _ request: @escaping @Sendable (LoadDevice, SiegeField) async throws -> ByteBuffer
    ) {
        self.id = id
        self.work = work
        self.request = request
    }

    func prepare(_ field: SiegeField) async throws -> Assault {
        let device = try await field.readers("attacker", changes: Self.rows)[0]
        let request = try await request(device, field)
        let loop = field.loop(Self.connections, pace: Self.pace) { _, _ in request }
        let seconds = field.plan.seconds
        return { await loop.run(for: seconds) }
    }

    func requirements(_ seen: SiegeObservation) -> [Judgement] { seen.victimIsUnharmed }

    /// The body of a request for rows: those of the first page.
    private struct RowsBody: Encodable {
        let schema: String
        let table: String
        let keys: [String]

        private struct Page: Decodable {
            struct Change: Decodable {
                let schema: String
                let table: String
                let pk: String
            }
            let changes: [Change]
        }

        init(of device: LoadDevice, _ field: SiegeField) async throws {
            let asker = try await Asker(field.target)
            defer { asker.close() }
            let answer = try await asker.ask(
                RequestBytes.get(
                    "/sync/download?after=0&limit=\(rowsPerRequest)&include_self=true",
                    token: device.token))
            let changes = try JSONDecoder().decode(
                Page.self, from: Data(answer.body.readableBytesView)
            ).changes
            guard let first = changes.first else { throw StackError("the log is empty") }
            schema = first.schema
            table = first.table
            keys = changes.filter { $0.table == first.table }.map(\.pk)
        }

        var encoded: Data { get throws { try JSONEncoder().encode(self) } }
    }
}
