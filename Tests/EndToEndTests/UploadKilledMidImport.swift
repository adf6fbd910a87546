import Demo
import DevStack
import Foundation
import OperatorKit
import Synchronization
import Testing

@Suite("Upload killed in the middle of an import", .timeLimit(.minutes(5)))
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
            let demo = try DemoRun(server: DemoServer(stack), folder: folder) { line in
                lines.withLock { $0.append(line) }
                // The first line of progress: the import is under way.
                guard line.contains("…"),
                    hasKilled.withLock({ killed in
                        defer { killed = true }
                        return !killed
                    })
                else { return }
                for upload in ServiceProcesses.named("oversync-upload", of: stack) {
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
}
