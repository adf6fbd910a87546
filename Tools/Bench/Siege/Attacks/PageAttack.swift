import NIOCore

/// One user that reads a long log from its start, on many connections.
struct PageAttack: Attack {
    private static let connections = 60
    private static let rows = 50_000
    private static let rowsPerPage = 1000
    private static let pace: TimeAmount = .milliseconds(100)

    let id = "pages-60"
    let work = "60 connections download pages of 1000 rows"

    func prepare(_ field: SiegeField) async throws -> Assault {
        let device = try await field.readers("attacker", changes: Self.rows)[0]
        let pages = stride(from: 0, to: Self.rows, by: Self.rowsPerPage).map { after in
            RequestBytes.get(
                "/sync/download?after=\(after)&limit=\(Self.rowsPerPage)&include_self=true",
                token: device.token)
        }
        let loop = field.loop(Self.connections, pace: Self.pace) { pages[$1 % pages.count] }
        let seconds = field.plan.seconds
        return { await loop.run(for: seconds) }
    }

    func requirements(_ seen: SiegeObservation) -> [Judgement] { seen.victimIsUnharmed }
}
