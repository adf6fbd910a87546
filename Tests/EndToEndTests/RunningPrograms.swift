import DevStack
import Programs

/// Longest time that a program of a test may take to end by itself, on a busy machine.
private let patience: Duration = .seconds(240)

/// Runs a program that was built with the tests, to its end.
///
/// - Parameters:
///   - environment: all of it; nil stands for the tests' own.
///   - input: what it reads.
///   - withErrors: whether what it writes to standard error is taken too.
/// - Returns: its status, and what it wrote.
func runProgram(
    _ name: String, _ arguments: [String] = [], environment: [String: String]? = nil,
    input: String? = nil, withErrors: Bool = true
) async throws -> (status: Int32, text: String) {
    try await Program(Executables.find(name), arguments, environment: environment)
        .result(within: patience, input: input, withErrors: withErrors)
}
