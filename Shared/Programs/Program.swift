import Foundation
import Subprocess
import SystemPackage

/// A program to run: its file, its arguments and its environment.
///
/// Not Foundation's `Process`: on Linux it learns of a program's end from a descriptor that closes
/// with the program. Another program that starts at the same moment can inherit the descriptor, and
/// then `Process` notices the end when both have ended.
package struct Program: Sendable {
    package enum Failure: Error, CustomStringConvertible {
        case tooLong(program: String, limit: Duration, output: String)

        package var description: String {
            switch self {
            case .tooLong(let program, let limit, let output):
                "\(program) took longer than \(limit) and was ended; it wrote: \(output)"
            }
        }
    }

    /// The usual time from SIGTERM to SIGKILL.
    package static let defaultPatience: Duration = .seconds(5)

    package let path: String
    package let arguments: [String]
    /// All of it; nil stands for this process's own.
    package let environment: [String: String]?
    /// Time from SIGTERM to SIGKILL when the task that runs it is cancelled.
    package let patience: Duration

    /// - Parameter path: the program's file, or a name to look for on PATH.
    package init(
        _ path: String, _ arguments: [String] = [], environment: [String: String]? = nil,
        patience: Duration = Self.defaultPatience
    ) {
        self.path = path
        self.arguments = arguments
        self.environment = environment
        self.patience = patience
    }

    /// Runs it to its end. When the task is cancelled, it gets SIGTERM, and SIGKILL after
    /// `patience`.
    ///
    /// - Parameters:
    ///   - input: a descriptor that becomes its standard input; nil gives it none.
    ///   - output: a descriptor that becomes its standard output; nil discards it.
    ///   - error: a descriptor that becomes its standard error; nil discards it.
    ///   - started: is called with its process number.
    /// - Returns: its exit code; 128 and the signal's number if a signal ended it.
    /// - Throws: when it cannot be started.
    package func run(
        input: Int32? = nil, output: Int32? = nil, error: Int32? = nil,
        started: @Sendable (Int32) -> Void = { _ in }
    ) async throws -> Int32 {
        // Also what stands for nothing is a descriptor, so that one call serves all cases.
        let nothing = try FileDescriptor.open("/dev/null", .readWrite, options: .closeOnExec)
        defer { try? nothing.close() }
        func descriptor(_ number: Int32?) -> FileDescriptor {
            number.map { FileDescriptor(rawValue: $0) } ?? nothing
        }
        var options = PlatformOptions()
        options.teardownSequence = [.gracefulShutDown(allowedDurationToNextStep: patience)]
        let result = try await Subprocess.run(
            path.contains("/") ? .path(FilePath(path)) : .name(path),
            arguments: Arguments(arguments), environment: subprocessEnvironment,
            platformOptions: options,
            input: .fileDescriptor(descriptor(input), closeAfterSpawningProcess: false),
            output: .fileDescriptor(descriptor(output), closeAfterSpawningProcess: false),
            error: .fileDescriptor(descriptor(error), closeAfterSpawningProcess: false)
        ) { execution in started(execution.processIdentifier.value) }
        return switch result.terminationStatus {
        case .exited(let code): code
        case .signaled(let signal): 128 + signal
        }
    }

    private var subprocessEnvironment: Subprocess.Environment {
        guard let environment else { return .inherit }
        return .custom(
            Dictionary(uniqueKeysWithValues: environment.map { (.init(stringLiteral: $0), $1) }))
    }

    /// Runs it to its end, and takes what it writes.
    ///
    /// - Parameters:
    ///   - limit: it is ended when it takes longer.
    ///   - input: what it reads; nil gives it nothing to read.
    ///   - withErrors: whether what it writes to standard error is taken too, or discarded.
    /// - Throws: `Failure.tooLong`, or when it cannot be started.
    package func result(
        within limit: Duration, input: String? = nil, withErrors: Bool = true
    ) async throws -> (status: Int32, text: String) {
        // Files, not pipes: a program that it leaves behind would keep a pipe open.
        let files = FileManager.default.temporaryDirectory.appending(
            path: "oversync-program-" + UUID().uuidString)
        try FileManager.default.createDirectory(at: files, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: files) }
        let (inputFile, outputFile) = (files.appending(path: "in"), files.appending(path: "out"))
        try Data((input ?? "").utf8).write(to: inputFile)
        try Data().write(to: outputFile)
        let source = try FileHandle(forReadingFrom: inputFile)
        let target = try FileHandle(forWritingTo: outputFile)
        defer {
            try? source.close()
            try? target.close()
        }
        let (read, write) = (source.fileDescriptor, target.fileDescriptor)
        let status = try await withThrowingTaskGroup(of: Int32?.self) { group in
            group.addTask {
                try await run(input: read, output: write, error: withErrors ? write : nil)
            }
            group.addTask {
                // Ends first if the program takes too long.
                try await Task.sleep(for: limit)
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
        let text = try String(contentsOf: outputFile, encoding: .utf8)
        guard let status else { throw Failure.tooLong(program: path, limit: limit, output: text) }
        return (status, text)
    }
}
