@testable import Sidecar
import Testing

@Suite("Why a device does not sync")
struct DeviceDiagnosisTests {
    private static let epoch = "11111111-1111-4111-8111-111111111111"

    /// A device in order, and what is changed of it.
    private func codes(
        report: String? = "\"pending\":0", _ change: (inout DeviceFacts) -> Void = { _ in }
    ) -> [String] {
        let json = report.map {
            "{\"schema\":\"app\",\"epoch\":\"\(Self.epoch)\",\"cursor\":5,\($0)}"
        }
        var facts = DeviceFacts(
            now: 100_000, logEnd: 5, epoch: Self.epoch, revoked: nil, lastUpload: 99_000,
            reported: report == nil ? nil : 99_900, report: json.flatMap(StoredReport.init(json:)),
            tokenRejected: nil, rejection: nil, failures: 0, failedTable: nil, sqlState: nil,
            waiting: 0, waitingSince: nil, registeredTables: 2, removedTables: [])
        change(&facts)
        let diagnosis = DeviceDiagnosis(facts)
        #expect(diagnosis.findings.allSatisfy { !$0.text.isEmpty && !$0.next.isEmpty })
        return diagnosis.findings.map(\.code)
    }

    @Test("A device in order has nothing wrong, and one that says nothing is told apart")
    func fine() {
        #expect(codes() == ["nothing_wrong"])
        #expect(codes(report: nil) == ["no_report"])
    }

    @Test("Who is not let in: revoked, or with a token that was rejected after it last came")
    func access() {
        #expect(codes { $0.revoked = 99_999 } == ["revoked"])
        #expect(
            codes { ($0.tokenRejected, $0.rejection) = (99_950, "expired") } == ["token_rejected"])
        // It came with another one since.
        #expect(
            codes { ($0.tokenRejected, $0.rejection) = (99_800, "expired") } == ["nothing_wrong"])
        #expect(
            codes {
                ($0.revoked, $0.tokenRejected, $0.rejection) = (1, 99_950, "audience")
            } == ["revoked", "token_rejected"])
    }

    @Test("Another epoch, another schema, a table that is gone, and one that is not served")
    func tables() {
        #expect(codes { $0.epoch = "22222222-2222-4222-8222-222222222222" } == ["old_epoch"])
        #expect(codes { $0.registeredTables = 0 } == ["wrong_schema"])
        let unserved = "\"notices\":\"clock unserved_table:notes\""
        #expect(codes(report: unserved) { $0.removedTables = ["notes"] } == ["table_removed"])
        #expect(codes(report: unserved) == ["table_unserved"])
        #expect(codes { $0.removedTables = ["notes"] } == ["nothing_wrong"])
        #expect(
            codes(report: "\"notices\":\"unknown_schema:app\"") {
                ($0.registeredTables, $0.removedTables) = (0, ["notes"])
            } == ["table_removed"])
    }

    @Test("Rejected rows, by the server's list first; held rows; the clock; errors; old edits")
    func rows() {
        #expect(codes { $0.failures = 2 } == ["rejected_rows"])
        #expect(
            codes(report: "\"pending\":1,\"rejected\":1,\"reason\":\"fk_missing\"")
                == ["rejected_rows"])
        #expect(codes(report: "\"held\":3") == ["held_rows"])
        #expect(codes(report: "\"clock_ahead_seconds\":-61") == ["clock"])
        #expect(codes(report: "\"clock_ahead_seconds\":60") == ["nothing_wrong"])
        #expect(codes(report: "\"clock_ahead_seconds\":-9223372036854775808") == ["clock"])
        #expect(codes(report: "\"error\":\"busy\"") == ["last_error"])
        let old = "\"pending\":2,\"rejected\":0,\"oldest_pending_seconds\":1000"
        #expect(codes(report: old) == ["pending"])
    }

    /// ```
    /// change ── 60 s ── report: it should have been read
    /// change, report ── 15 min: it has not come since
    /// ```
    @Test("Others' changes count once the device should have read them, or is away")
    func behind() {
        #expect(codes { ($0.waiting, $0.waitingSince) = (3, 99_890) } == ["nothing_wrong"])
        #expect(codes { ($0.waiting, $0.waitingSince) = (3, 99_839) } == ["behind"])
        #expect(
            codes { ($0.waiting, $0.waitingSince, $0.now) = (3, 99_890, 100_801) } == ["behind"])
    }
}
