import Demo
import DevStack
import Foundation
import Synchronization
import Testing

@Suite("Disasters", .serialized)
struct UploadKilledMidImport {
    /// ```
    /// phone    import ─ send … send ─ 503/retry ─ send … ─ edits ─ quiet ─ equal
    /// upload          ───────── kill -9 ┄ restarted by the supervisor ───────
    /// ```
    @Test(
        "The Upload process dies by kill -9 in the middle of the first import, and all copies end equal"
    )
    func killed() async throws {
        try await withStack { stack in
            let lines = Mutex<[String]>([])
            let hasKilled = Mutex(false)
            let folder = stack.sockets + "-demo"
            let demo = try DemoRun(stack: stack, folder: folder) { line in
                lines.withLock { $0.append(line) }
                // The first line of progress: the import is under way.
                guard line.contains("…"),
                    hasKilled.withLock({ killed in
                        defer { killed = true }
                        return !killed
                    })
                else { return }
                if let upload = Self.process("oversync-upload", of: getpid()) {
                    kill(upload, SIGKILL)
                }
            }
            let isEqual = try await demo.run()
            try? FileManager.default.removeItem(atPath: folder)
            #expect(isEqual, "\(lines.withLock { $0.joined(separator: "\n") })")
            #expect(
                hasKilled.withLock { $0 }, "the import was over before there was anything to kill")
        }
    }

    private static func process(_ name: String, of parent: Int32) -> Int32? {
        let folders = (try? FileManager.default.contentsOfDirectory(atPath: "/proc")) ?? []
        return folders.compactMap { Int32($0) }.first { id in
            guard let stat = try? String(contentsOfFile: "/proc/\(id)/stat", encoding: .utf8) else {
                return false
            }
            let fields = stat.split(separator: ")").last?.split(separator: " ") ?? []
            return stat.contains("(\(name.prefix(15)))") && fields.count > 1
                && Int32(fields[1]) == parent
        }
    }
}
