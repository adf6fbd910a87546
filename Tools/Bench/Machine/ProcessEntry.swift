/// One process, as `/proc/<id>/stat` describes it.
struct ProcessEntry: Hashable, Sendable {
    let id: Int32
    let parent: Int32
    /// The kernel cuts it at 15 bytes.
    let name: String
    /// Clock ticks it has used itself, user and system.
    let ticks: Int
    /// Clock ticks of its children that have ended and were waited for.
    let childTicks: Int

    /// - Parameter stat: the file's one line; nil when it is none.
    init?(stat: String) {
        // The name may hold spaces and parentheses; only the last one closes it.
        guard let open = stat.firstIndex(of: "("), let close = stat.lastIndex(of: ")"),
            open < close, let id = Int32(stat[..<open].dropLast())
        else { return nil }
        let fields = stat[stat.index(after: close)...].split(separator: " ")
        guard fields.count > 14, let parent = Int32(fields[1]), let user = Int(fields[11]),
            let system = Int(fields[12]), let childUser = Int(fields[13]),
            let childSystem = Int(fields[14])
        else { return nil }
        self.id = id
        self.parent = parent
        name = String(stat[stat.index(after: open)..<close])
        ticks = user + system
        childTicks = childUser + childSystem
    }
}

/// The memory of one process in bytes, from `/proc/<id>/statm`.
package struct ProcessMemory: Hashable, Sendable {
    package let resident: Int
    /// The part of it that other processes may map too.
    package let shared: Int

    /// - Parameter statm: the file's one line; nil when it is none.
    init?(statm: String, pageSize: Int) {
        let fields = statm.split(separator: " ")
        guard fields.count > 2, let resident = Int(fields[1]), let shared = Int(fields[2]) else {
            return nil
        }
        self.resident = resident * pageSize
        self.shared = shared * pageSize
    }
}
