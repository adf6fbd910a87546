import Foundation
import Logging
import Telemetry
import Testing

@testable import ServiceKit

/// What a process reports about itself.
struct ProcessMetricsTests {
    @Test func `the start is read behind a name with spaces and brackets`() {
        let fields = (3...40).map(String.init).joined(separator: " ")
        let stat = "42 (a ) b) \(fields)"
        // The 22nd field is the start, in ticks of a hundredth.
        let start = ProcessUse.startTime(
            stat: stat, system: "cpu 1 2\nbtime 1000\n", ticksPerSecond: 100)
        #expect(start == 1000.22)
        for broken in ["", "42 (a", "42 (a) S 1"] {
            #expect(
                ProcessUse.startTime(stat: broken, system: "btime 1000\n", ticksPerSecond: 100)
                    == nil)
        }
        #expect(ProcessUse.startTime(stat: stat, system: "", ticksPerSecond: 100) == nil)
    }

    @Test func `what the system says of this process is plausible`() throws {
        let now = Date().timeIntervalSince1970
        let start = try #require(ProcessUse.startTime)
        // The system counts its own start in whole seconds.
        #expect(start <= now + 1 && start > now - 86_400)
        let memory = try #require(ProcessUse.memory)
        #expect(memory.resident > 1 << 20 && memory.virtual > memory.resident)
        #expect(try #require(ProcessUse.cpuSeconds) > 0)
        let files = try #require(ProcessUse.openFiles)
        #expect(files >= 3 && files <= OpenFiles.limit)
    }

    @Test func `one state of readiness is 1, and the build is named`() {
        let registry = MetricsRegistry()
        ProcessMetrics.report(
            "oversync-test",
            Readiness(logger: Logger(label: "t") { _ in SwiftLogNoOpLogHandler() }),
            to: registry)
        let lines = registry.rendered().split(separator: "\n")
        let states = lines.filter { $0.hasPrefix("oversync_readiness{") }
        #expect(states.count == 3 && states.count { $0.hasSuffix(" 1.0") } == 1)
        #expect(
            lines.contains {
                $0.hasPrefix(
                    #"oversync_build_info{program="oversync-test",version="\#(BuildInfo.version)""#)
            })
    }
}
