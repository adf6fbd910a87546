import Postgres
import Testing

@testable import UploadService

@Suite("Whose fault an error is") struct RowRefusalTests {
    private static func error(_ state: SQLState, severity: String = "ERROR") -> ServerError {
        ServerError(sqlState: state, severity: severity)
    }

    @Test("A row for which there is no memory, or no room for locks, is postponed")
    func outOfMemory() throws {
        for origin in [RowRefusal.Origin.business, .attempt] {
            let refusal = try #require(RowRefusal(Self.error(.outOfMemory), from: origin))
            #expect(refusal.isPostponed && refusal.isWorthRepeating)
            #expect(!refusal.mayConcernTable)
        }
        // The sidecar's own statements need little: it is the server that lacks memory.
        #expect(RowRefusal(Self.error(.outOfMemory), from: .sidecar) == nil)
    }

    @Test("A connection that is lost is no row's fault by itself; it tells what the server was at")
    func sessions() {
        let lost = PostgresError(.connectionLost, statementName: "upload_read_head")
        #expect(lost.endsSession && RowRefusal(lost) == nil)
        // Nothing was sent.
        #expect(!PostgresError(.connectionLost).endsSession)
        #expect(!PostgresError(.server(Self.error(.adminShutdown, severity: "FATAL"))).endsSession)
    }
}
