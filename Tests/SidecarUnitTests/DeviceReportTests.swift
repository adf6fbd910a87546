import Model
import Sidecar
import Testing
import WireJSON

@Suite("A device's report")
struct DeviceReportTests {
    @Test("All members are read, and what is not known is passed over")
    func members() throws {
        let header = """
            sdk="OverSQLite 1", at=1764500000, app="2.0 (7)", schema="business", epoch="E", \
            cursor=5, pending=3,held=1\t,  rejected=2, oldest=60, reason="fk_missing", \
            error="busy", notices="clock unserved_table:notes", later="x", more=-1
            """
        let report = try #require(DeviceReport(header: header))
        let document = report.document(now: 1_764_499_990).text
        #expect(
            document == """
                {"sdk":"OverSQLite 1","app":"2.0 (7)","schema":"business","epoch":"E","cursor":5,\
                "pending":3,"oldest_pending_seconds":60,"held":1,"rejected":2,\
                "reason":"fk_missing","error":"busy",\
                "notices":"clock unserved_table:notes","clock_ahead_seconds":10}
                """)
        let stored = try #require(StoredReport(json: document))
        #expect(stored.rejected == 2 && stored.clockAheadSeconds == 10)
        #expect(StoredReport(json: #"{"pending":"x"}"#) == nil)
    }

    @Test(
        "What is not of its form, or beyond its bounds, is no report",
        arguments: [
            "", "=", "sdk", "sdk=", "sdk=\"", "sdk=\"a", "sdk=a", "sdk=1", "pending=\"1\"",
            "pending=-1", "pending=1.5", "pending=1234567890123456", "pending=1 held=2",
            "pending=1,", "pending=1;held=2", "SDK=\"a\"", "sdk=\"a\\\"b\"", "sdk=\"\u{E4}\"",
            "sdk=\"\u{0}\"", "sdk=\"\(String(repeating: "a", count: 129))\"",
            "notices=\"\(String(repeating: "a", count: 401))\"",
            "x=\"\(String(repeating: "a", count: 1021))\"",
        ])
    func malformed(header: String) {
        #expect(DeviceReport(header: header) == nil)
    }
}
