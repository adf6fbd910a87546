import Load
import Testing

@Suite("Acknowledged changes beside the logs")
struct AcknowledgedReportTests {
    private typealias Entry = AcknowledgedReport.Entry

    private let acknowledged = (1...3).map {
        PersistentDevice.Acknowledged(
            user: "ann", device: "phone", id: $0, row: "r\($0)", version: 1)
    }
    private let log = (1...3).map {
        Entry(sequence: Int64($0), device: "phone", id: $0, row: "r\($0)", version: 1)
    }

    private func report(_ log: [Entry]) -> AcknowledgedReport {
        var report = AcknowledgedReport()
        report.take("ann", acknowledged, log: log)
        return report
    }

    @Test("A log with each change once is clean; changes that were not acknowledged may be there")
    func clean() {
        let more = log + [Entry(sequence: 4, device: "phone", id: 4, row: "r4", version: 1)]
        let report = report(more)
        #expect(report.isClean)
        #expect(report.faults == [])
        #expect((report.users, report.changes, report.acknowledged) == (1, 4, 3))
    }

    @Test("A change that the log does not have is lost")
    func lost() {
        let report = report(Array(log.prefix(2)))
        #expect((report.lost, report.doubled, report.gaps) == (1, 0, 0))
        #expect(
            report.faults == [
                "lost: change 3 of phone of ann, row r3 at version 1; the log has nothing"
            ])
    }

    @Test("So is one that the log has with another row, version or device")
    func different() {
        var log = log
        log[0].row = "r9"
        log[1].version = 2
        log[2].device = "laptop"
        #expect(report(log).lost == 3)
    }

    @Test("A change that the log has twice is doubled, whether or not it was acknowledged")
    func doubled() {
        let twice = [
            Entry(sequence: 4, device: "phone", id: 2, row: "r2", version: 2),
            Entry(sequence: 5, device: "laptop", id: 7, row: "r7", version: 1),
            Entry(sequence: 6, device: "laptop", id: 7, row: "r7", version: 2),
        ]
        let report = report(log + twice)
        #expect((report.lost, report.doubled, report.gaps) == (0, 2, 0))
    }

    @Test("A log whose sequence jumps has a gap")
    func gaps() {
        var log = log
        log[2].sequence = 5
        let report = report(log)
        #expect((report.lost, report.doubled, report.gaps) == (0, 0, 1))
        #expect(report.faults == ["gap: ann's log goes from 2 to 5"])
    }
}
