import DevStack
import Foundation

/// Runs a program that was built with the tests, to its end.
///
/// - Returns: its status, and what it wrote. A file takes it: a pipe would stay open for as long as any process lives
///   that another test starts meanwhile.
func runProgram(
    _ name: String, _ arguments: [String]
) async throws -> (status: Int32, text: String) {
    let output = FileManager.default.temporaryDirectory.appending(
        path: "oversync-output-" + UUID().uuidString)
    try Data().write(to: output)
    defer { try? FileManager.default.removeItem(at: output) }
    let process = Process()
    process.executableURL = URL(filePath: try Executables.find(name))
    process.arguments = arguments
    process.standardOutput = try FileHandle(forWritingTo: output)
    process.standardError = process.standardOutput
    let (ends, end) = AsyncStream.makeStream(of: Void.self)
    process.terminationHandler = { _ in end.finish() }
    try process.run()
    for await _ in ends {}
    return (process.terminationStatus, try String(contentsOf: output, encoding: .utf8))
}
