import Foundation

/// Processor time and memory of groups of processes at one moment, or the time between two.
struct ProcessUsage: Codable, Hashable, Sendable {
    /// The groups that are neither ours nor PostgreSQL.
    static let generator = "generator"
    static let pgbench = "pgbench"
    static let postgres = "postgres"
    static let nginx = "nginx"

    /// Processor seconds, user and system, by group.
    var seconds: [String: Double] = [:]
    /// Resident bytes by group; memory that a group's processes share is counted once.
    var resident: [String: Int] = [:]
    /// Open file descriptors by group.
    var descriptors: [String: Int] = [:]

    /// What was used since an earlier moment; memory and descriptors as they are now.
    func since(_ earlier: ProcessUsage) -> ProcessUsage {
        var difference = self
        for (name, before) in earlier.seconds {
            difference.seconds[name, default: before] -= before
        }
        return difference
    }

    /// The larger of both in memory and descriptors, group by group.
    mutating func raise(to other: ProcessUsage) {
        resident.merge(other.resident, uniquingKeysWith: max)
        descriptors.merge(other.descriptors, uniquingKeysWith: max)
    }

    /// Seconds of our own services together.
    var services: Double {
        seconds.filter {
            ![Self.generator, Self.pgbench, Self.postgres, Self.nginx].contains($0.key)
        }
        .values.reduce(0, +)
    }

    /// Seconds of everything but what makes the load.
    var servers: Double {
        seconds.filter { ![Self.generator, Self.pgbench].contains($0.key) }.values.reduce(0, +)
    }
}

/// Which processes belong together.
package struct ProcessGroups: Sendable {
    /// What the services' programs are called before their own name.
    private static let servicePrefix = "oversync-"

    /// PostgreSQL's first process: it and its children are one group.
    var postmaster: Int32
    /// The process that supervises the services: each of them is a group, its replicas together.
    var supervisor: Int32
    /// nginx's first process, where one runs.
    var nginx: Int32?
    /// The process that makes the load: this one.
    var own = getpid()

    func usage() -> ProcessUsage {
        usage(
            of: Self.entries(), ticksPerSecond: Double(sysconf(Int32(_SC_CLK_TCK))),
            memory: Self.memory, descriptors: Self.descriptors)
    }

    func usage(
        of entries: [ProcessEntry], ticksPerSecond: Double, memory: (Int32) -> ProcessMemory?,
        descriptors: (Int32) -> Int = { _ in 0 }
    ) -> ProcessUsage {
        var open: [String: Int] = [:]
        var ticks: [String: Int] = [:]
        var memories: [String: [ProcessMemory]] = [:]
        for entry in entries {
            guard let group = group(of: entry) else { continue }
            // A back end that has ended lives on in the sum that its parent keeps.
            let ended = entry.id == postmaster || entry.id == nginx ? entry.childTicks : 0
            ticks[group, default: 0] += entry.ticks + ended
            if entry.id == own { ticks[ProcessUsage.pgbench, default: 0] += entry.childTicks }
            open[group, default: 0] += descriptors(entry.id)
            if let memory = memory(entry.id) { memories[group, default: []].append(memory) }
        }
        return ProcessUsage(
            seconds: ticks.mapValues { Double($0) / ticksPerSecond },
            resident: memories.mapValues { group in
                group.reduce(0) { $0 + $1.resident - $1.shared } + (group.map(\.shared).max() ?? 0)
            }, descriptors: open)
    }

    private func group(of entry: ProcessEntry) -> String? {
        if entry.id == own { return ProcessUsage.generator }
        if entry.id == postmaster || entry.parent == postmaster { return ProcessUsage.postgres }
        if let nginx, entry.id == nginx || entry.parent == nginx { return ProcessUsage.nginx }
        guard entry.parent == supervisor, entry.name.hasPrefix(Self.servicePrefix) else {
            return nil
        }
        return Self.fullName(entry)
    }

    /// The command line has the name that the kernel has cut.
    private static func fullName(_ entry: ProcessEntry) -> String {
        let program = read("\(entry.id)/cmdline")?.split(separator: "\0").first?
            .split(separator: "/").last
        let name = program.flatMap { $0.hasPrefix(entry.name) ? String($0) : nil } ?? entry.name
        return String(name.dropFirst(servicePrefix.count))
    }

    /// The process that started another.
    static func parent(of id: Int32) -> Int32? {
        read("\(id)/stat").flatMap(ProcessEntry.init(stat:))?.parent
    }

    private static func entries() -> [ProcessEntry] {
        let folders = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return folders.lazy.filter { Int32($0) != nil }.compactMap { folder in
            read("\(folder)/stat").flatMap(ProcessEntry.init(stat:))
        }
    }

    /// The memory of a process; nil if there is none.
    package static func memory(of id: Int32) -> ProcessMemory? {
        let pageSize = sysconf(Int32(_SC_PAGESIZE))
        return read("\(id)/statm").flatMap { ProcessMemory(statm: $0, pageSize: pageSize) }
    }

    /// A process and those that it has started.
    package static func family(of id: Int32) -> [Int32] {
        [id] + entries().filter { $0.parent == id }.map(\.id)
    }

    /// How many descriptors a process has open.
    package static func descriptors(of id: Int32) -> Int {
        (try? FileManager.default.contentsOfDirectory(atPath: "/proc/\(id)/fd"))?.count ?? 0
    }

    private static func read(_ path: String) -> String? {
        try? String(contentsOfFile: "/proc/" + path, encoding: .utf8)
    }
}
