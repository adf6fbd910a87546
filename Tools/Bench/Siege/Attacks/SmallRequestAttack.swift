import NIOCore

/// One user that asks for little, often, on hundreds of connections of both kinds.
struct SmallRequestAttack: Attack {
    private static let connectionsOfEach = 200
    /// Four times as many requests a second as one user is allowed by default.
    private static let pace: TimeAmount = .milliseconds(200)

    let id = "small-400"
    let work = "400 connections of HTTP/1.1 and HTTP/2 ask for little"

    func prepare(_ field: SiegeField) async throws -> Assault {
        let path = "/sync/download?after=0&limit=1"
        let device = try await field.device("attacker")
        let request = RequestBytes.get(path, token: device.token)
        let head = HTTP2.head(path, token: device.token)
        let http1 = field.loop(Self.connectionsOfEach, pace: Self.pace) { _, _ in request }
        let http2 = AttackLoop(
            target: try field.target.speaking("h2"), connections: Self.connectionsOfEach,
            pace: Self.pace, request: { _, _ in request })
        let seconds = field.plan.seconds
        return {
            let record = AttackRecord()
            async let older: Void = http1.run(for: seconds, record) {
                HTTP1Wire(connection: $0, request: http1.request)
            }
            async let newer: Void = http2.run(for: seconds, record) { _ in HTTP2Wire(head: head) }
            _ = await (older, newer)
            return record.report
        }
    }

    func requirements(_ seen: SiegeObservation) -> [Judgement] { seen.victimIsUnharmed }
}
