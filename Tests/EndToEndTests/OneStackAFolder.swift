import Demo
import DevStack
import Foundation
import Logging
import OperatorKit
import Testing

@Suite("A stack's folder", .timeLimit(.minutes(5)))
struct OneStackAFolder {
    @Test(
        "A second stack in the same folder is refused, even one that would empty it, and the first goes on"
    )
    func claimed() async throws {
        try await withStack { (stack: StackAddress) in
            let folder = URL(fileURLWithPath: stack.authority).deletingLastPathComponent()
                .deletingLastPathComponent().path
            var second = Stack.Plan(
                directory: StackDirectory(folder), registrations: DemoTables.registrations,
                businessSchema: DemoTables.businessSchema)
            second.port = 0
            second.startsEmpty = true
            let error = await #expect(throws: StackError.self) {
                _ = try await Stack(second, logger: Logger(label: "second"))
            }
            #expect(
                error?.description.contains("another process runs a stack in \(folder)") == true)
            #expect(FileManager.default.fileExists(atPath: stack.authority))
            #expect(StackAddress.running(in: StackDirectory(folder)) != nil)
        }
    }
}
