import Foundation
import RPC
import Telemetry

/// What the system says of this process, under the names that Prometheus' own client libraries give
/// it, and what this build is.
enum ProcessMetrics {
    static func report(
        _ program: String, _ readiness: Readiness, to registry: MetricsRegistry
    ) {
        registry.gauge(
            "oversync_build_info", "1, with what this build is in its labels",
            labels: ["program", "version", "commit", "layout", "rpc"]
        ) {
            let labels: MetricLabels = [
                "program": program, "version": BuildInfo.version, "commit": BuildInfo.commit,
                "layout": "\(BuildInfo.layout)", "rpc": "\(BuildInfo.rpc)",
            ]
            return [(labels, 1)]
        }
        registry.gauge(
            "oversync_readiness", "1 for the state that /ready answers, 0 for the others",
            labels: ["state"]
        ) {
            let status = readiness.status
            let state =
                !status.canServe ? "not_ready" : status.problems.isEmpty ? "ready" : "degraded"
            return ["ready", "degraded", "not_ready"].map {
                (["state": $0], $0 == state ? 1 : 0)
            }
        }
        registry.counter(
            "oversync_log_lines_lost_total",
            "Log lines that were not written, as those before them were not taken in time"
        ) { [(.none, Double(BatchedLogOutput.standardError.lost))] }
        reportSystem(to: registry)
    }

    private static func reportSystem(to registry: MetricsRegistry) {
        registry.counter(
            "process_cpu_seconds_total", "User and system CPU time of the process, in seconds"
        ) { ProcessUse.cpuSeconds.map { [(.none, $0)] } ?? [] }
        registry.value("process_resident_memory_bytes", "Resident memory, in bytes") {
            ProcessUse.memory.map { Double($0.resident) }
        }
        registry.value("process_virtual_memory_bytes", "Virtual memory, in bytes") {
            ProcessUse.memory.map { Double($0.virtual) }
        }
        registry.value("process_open_fds", "Open file descriptors") {
            ProcessUse.openFiles.map(Double.init)
        }
        registry.value("process_max_fds", "File descriptors that may be open at once") {
            Double(OpenFiles.limit)
        }
        registry.value(
            "process_start_time_seconds", "When the process started, in seconds since 1970"
        ) { ProcessUse.startTime }
    }
}

/// What a process uses of the machine; nil where the system does not tell.
enum ProcessUse {
    /// User and system CPU time.
    static var cpuSeconds: Double? {
        var time = timespec()
        guard clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 else { return nil }
        return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
    }

    /// Bytes (proc(5), statm).
    static var memory: (virtual: Int, resident: Int)? {
        guard let text = try? String(contentsOfFile: "/proc/self/statm", encoding: .utf8) else {
            return nil
        }
        let pages = text.split(separator: " ").prefix(2).compactMap { Int($0) }
        guard pages.count == 2 else { return nil }
        let size = Int(sysconf(Int32(_SC_PAGESIZE)))
        return (pages[0] * size, pages[1] * size)
    }

    /// Without the one that this look itself opens.
    static var openFiles: Int? {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd")).map {
            max(0, $0.count - 1)
        }
    }

    /// Read once: it stays the same.
    static let startTime: Double? = startTime(
        stat: try? String(contentsOfFile: "/proc/self/stat", encoding: .utf8),
        system: try? String(contentsOfFile: "/proc/stat", encoding: .utf8),
        ticksPerSecond: Double(sysconf(Int32(_SC_CLK_TCK))))

    /// Fields of `stat` that come before the start and after the program's name, which may have
    /// spaces and brackets itself.
    private static let fieldsBeforeStart = 19

    /// - Parameters:
    ///   - stat: of the process (proc(5)): its 22nd field counts from the system's start, in ticks.
    ///   - system: `/proc/stat`, whose `btime` is the system's start.
    static func startTime(stat: String?, system: String?, ticksPerSecond: Double) -> Double? {
        guard let stat, let system, ticksPerSecond > 0, let name = stat.lastIndex(of: ")") else {
            return nil
        }
        let fields = stat[stat.index(after: name)...].split(separator: " ")
        let boot = system.split(separator: "\n").first { $0.hasPrefix("btime ") }
        guard fields.count > fieldsBeforeStart, let ticks = Double(fields[fieldsBeforeStart]),
            let seconds = boot.flatMap({ Double($0.dropFirst("btime ".count)) })
        else { return nil }
        return seconds + ticks / ticksPerSecond
    }
}
