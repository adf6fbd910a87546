import Foundation

/// How much processor time groups of processes have used, from /proc.
struct ProcessorTime: Sendable {
    /// Seconds by group name.
    private(set) var seconds: [String: Double] = [:]

    /// - Parameters:
    ///   - stack: the process that supervises the services; each child is a group of its own name.
    ///   - backend: any backend of the PostgreSQL server: its parent and all siblings are one group.
    static func now(stack: Int32, backend: Int32) -> ProcessorTime {
        var time = ProcessorTime()
        let all = processes()
        let postmaster = all[backend]?.parent
        for (id, process) in all {
            if process.parent == postmaster || id == postmaster {
                time.seconds["postgres", default: 0] += process.seconds
            } else if id == getpid() {
                time.seconds["load generator", default: 0] += process.seconds
            } else if process.parent == stack, process.name.hasPrefix("oversync") {
                time.seconds[process.name, default: 0] += process.seconds
            }
        }
        return time
    }

    static func - (a: ProcessorTime, b: ProcessorTime) -> ProcessorTime {
        var difference = ProcessorTime()
        for (name, seconds) in a.seconds {
            difference.seconds[name] = seconds - (b.seconds[name] ?? 0)
        }
        return difference
    }

    private struct Entry {
        let name: String
        let parent: Int32
        let seconds: Double
    }

    private static func processes() -> [Int32: Entry] {
        let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
        var entries: [Int32: Entry] = [:]
        for folder in (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? [] {
            guard let id = Int32(folder),
                let stat = try? String(contentsOfFile: "/proc/\(folder)/stat", encoding: .utf8),
                let open = stat.firstIndex(of: "("), let close = stat.lastIndex(of: ")")
            else { continue }
            // After the name: state, parent, … user time and system time are the 12th and 13th.
            let fields = stat[stat.index(after: close)...].split(separator: " ")
            guard fields.count > 12, let parent = Int32(fields[1]), let user = Double(fields[11]),
                let system = Double(fields[12])
            else { continue }
            entries[id] = Entry(
                name: fullName(folder, shortened: String(stat[stat.index(after: open)..<close])),
                parent: parent, seconds: (user + system) / ticks)
        }
        return entries
    }

    /// The kernel cuts names at 15 bytes; the command line has the whole one.
    private static func fullName(_ folder: String, shortened: String) -> String {
        let line = try? String(contentsOfFile: "/proc/\(folder)/cmdline", encoding: .utf8)
        let program = line?.split(separator: "\0").first?.split(separator: "/").last
        return program.flatMap { $0.hasPrefix(shortened) ? String($0) : nil } ?? shortened
    }
}
