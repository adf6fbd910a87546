import Testing

@testable import Bench

@Suite struct ProcessTests {
    private static func stat(
        _ id: Int, _ name: String, parent: Int, user: Int, system: Int, children: Int = 0
    ) -> String {
        "\(id) (\(name)) S \(parent) 1 1 0 -1 4194560 900 0 3 0 \(user) \(system) \(children) 0 20 0 4 0 100 1 1"
    }

    private static func entry(
        _ id: Int, _ name: String, parent: Int, user: Int, system: Int = 0, children: Int = 0
    ) throws -> ProcessEntry {
        try #require(
            ProcessEntry(
                stat: stat(
                    id, name, parent: parent, user: user, system: system, children: children)))
    }

    @Test("A line of /proc/<id>/stat gives id, parent, name and both kinds of ticks")
    func reads() throws {
        let entry = try Self.entry(
            42, "oversync-upload", parent: 7, user: 30, system: 12, children: 5)
        #expect(entry.id == 42)
        #expect(entry.parent == 7)
        #expect(entry.name == "oversync-upload")
        #expect(entry.ticks == 42)
        #expect(entry.childTicks == 5)
    }

    @Test("A name with spaces and parentheses ends at the last one")
    func oddName() throws {
        let entry = try Self.entry(9, "a) S 1 (b", parent: 3, user: 1)
        #expect(entry.name == "a) S 1 (b")
        #expect(entry.parent == 3)
    }

    @Test(
        "What is no such line gives nothing",
        arguments: ["", "42", "42 (x) S 1", "x (y) S 1 1 1 0 -1 0 0 0 0 0 1 1 0 0 20", ") ("])
    func refuses(_ line: String) {
        #expect(ProcessEntry(stat: line) == nil)
    }

    @Test("Memory counts pages; a line with too few fields gives nothing")
    func memory() {
        let memory = ProcessMemory(statm: "500 20 8 1 0 30 0\n", pageSize: 4096)
        #expect(memory?.resident == 20 * 4096)
        #expect(memory?.shared == 8 * 4096)
        #expect(ProcessMemory(statm: "500 20", pageSize: 4096) == nil)
    }

    @Test(
        "Back ends that have ended count by their parent; replicas count together; strangers do not"
    )
    func groups() throws {
        let groups = ProcessGroups(postmaster: 10, supervisor: 2, nginx: 30, own: 2)
        let entries = [
            try Self.entry(10, "postgres", parent: 1, user: 100, children: 50),
            try Self.entry(11, "postgres", parent: 10, user: 25, children: 9),
            try Self.entry(20, "oversync-download", parent: 2, user: 10),
            try Self.entry(21, "oversync-download", parent: 2, user: 5),
            try Self.entry(2, "oversync-dev", parent: 1, user: 7, children: 300),
            try Self.entry(30, "nginx", parent: 29, user: 1),
            try Self.entry(31, "nginx", parent: 30, user: 4),
            try Self.entry(40, "oversync-upload", parent: 39, user: 1000),
        ]
        let memory = ProcessMemory(statm: "0 30 10", pageSize: 1000)
        let usage = groups.usage(of: entries, ticksPerSecond: 100) { _ in memory }
        #expect(
            usage.seconds == [
                "postgres": 1.75, "download": 0.15, "generator": 0.07, "pgbench": 3, "nginx": 0.05,
            ])
        #expect(usage.resident["postgres"] == 2 * 20_000 + 10_000)
        #expect(usage.resident["generator"] == 30_000)
    }

    @Test("The time between two moments leaves the memory as it is, and knows servers from load")
    func difference() {
        let before = ProcessUsage(
            seconds: ["postgres": 1, "upload": 2, "generator": 1], resident: ["upload": 5])
        let after = ProcessUsage(
            seconds: ["postgres": 4, "upload": 3, "gateway": 2, "generator": 9, "pgbench": 1],
            resident: ["upload": 7])
        let used = after.since(before)
        #expect(used.seconds["gateway"] == 2)
        #expect(used.services == 3)
        #expect(used.servers == 6)
        #expect(used.resident == ["upload": 7])
    }
}
