import DevStack
import Foundation
import Synchronization

/// A person at a pseudo-terminal of their own, with a program on it.
final class Typist: Sendable {
    /// Longest wait for what must come.
    private static let patience: Duration = .seconds(60)
    /// Longest wait for the kernel in one look, in milliseconds.
    private static let look: Int32 = 200

    /// POSIX_SPAWN_SETSID of spawn.h, which Glibc's module hides behind _GNU_SOURCE.
    private static let newSession: Int16 = 0x80

    struct NotSeen: Error, CustomStringConvertible {
        let description: String
    }

    private struct Shown {
        /// Everything that came, escape sequences left out.
        var text = ""
        /// What came before this was expected and seen.
        var seen: String.Index
        var raw: [UInt8] = []
        var hasEnded = false
    }

    let process: pid_t
    private let terminal: Int32
    private let shown = Mutex(Shown(text: "", seen: "".startIndex))

    /// Starts a program that was built with the tests.
    init(_ program: String, _ arguments: [String], columns: UInt16 = 120) throws {
        var (ours, theirs): (Int32, Int32) = (-1, -1)
        var size = winsize(ws_row: 40, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0)
        var name = [CChar](repeating: 0, count: 128)
        guard openpty(&ours, &theirs, &name, nil, &size) == 0 else {
            throw NotSeen(description: "no pseudo-terminal: \(errno)")
        }
        defer { close(theirs) }
        for descriptor in [ours, theirs] { _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC) }
        terminal = ours
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        // Opened by the leader of a new session, it becomes the session's terminal.
        posix_spawn_file_actions_addopen(&actions, 0, name, O_RDWR, 0)
        posix_spawn_file_actions_adddup2(&actions, 0, 1)
        posix_spawn_file_actions_adddup2(&actions, 0, 2)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Self.newSession)
        let path = try Executables.find(program)
        let environment = ProcessInfo.processInfo.environment.filter { $0.key != "NO_COLOR" }
            .merging(["TERM": "xterm"]) { $1 }
        var pid = pid_t()
        let result = withStrings([path] + arguments) { arguments in
            withStrings(environment.map { "\($0.key)=\($0.value)" }) { environment in
                posix_spawn(&pid, path, &actions, &attributes, arguments, environment)
            }
        }
        guard result == 0 else {
            throw NotSeen(description: "\(program) does not start: \(result)")
        }
        process = pid
    }

    deinit {
        kill(process, SIGKILL)
        close(terminal)
    }

    /// Presses keys.
    func type(_ keys: String) {
        let bytes = Array(keys.utf8)
        _ = bytes.withUnsafeBytes { write(terminal, $0.baseAddress, $0.count) }
    }

    /// Waits until the text is shown, after what was expected before.
    func expect(_ text: String) async throws {
        try await onThread { typist in
            let end = ContinuousClock.now + Self.patience
            while !typist.sees(text) {
                guard ContinuousClock.now < end, !typist.shown.withLock(\.hasEnded) else {
                    throw NotSeen(
                        description:
                            "“\(text)” was not shown, but\n\(typist.shown.withLock { $0.text })")
                }
                typist.watch()
            }
        }
    }

    /// Waits for the program's end.
    ///
    /// - Returns: its status; 128 and the signal if one killed it.
    func end() async throws -> Int32 {
        try await onThread { typist in
            let end = ContinuousClock.now + Self.patience
            var status: Int32 = 0
            while waitpid(typist.process, &status, WNOHANG) != typist.process {
                guard ContinuousClock.now < end else {
                    throw NotSeen(
                        description: "no end, but\n\(typist.shown.withLock { $0.text })")
                }
                typist.watch()
            }
            return status & 0x7F == 0 ? (status >> 8) & 0xFF : 128 + status & 0x7F
        }
    }

    /// Everything that was shown so far, escape sequences left out.
    var text: String { shown.withLock(\.text) }

    private func sees(_ text: String) -> Bool {
        shown.withLock { shown in
            guard let found = shown.text[shown.seen...].range(of: text) else { return false }
            shown.seen = found.upperBound
            return true
        }
    }

    /// Takes what is shown next, or waits a little.
    private func watch() {
        var ready = pollfd(fd: terminal, events: Int16(POLLIN), revents: 0)
        guard poll(&ready, 1, Self.look) > 0 else { return }
        var buffer = [UInt8](repeating: 0, count: 4096)
        let count = read(terminal, &buffer, buffer.count)
        shown.withLock { shown in
            // The terminal of a program that has ended gives an error.
            guard count > 0 else { return shown.hasEnded = true }
            let distance = shown.text.utf8.distance(from: shown.text.startIndex, to: shown.seen)
            shown.raw += buffer[..<count]
            shown.text = Self.plain(shown.raw)
            shown.seen =
                shown.text.utf8.index(
                    shown.text.startIndex, offsetBy: distance, limitedBy: shown.text.endIndex)
                ?? shown.text.endIndex
        }
    }

    private static func plain(_ bytes: [UInt8]) -> String {
        String(decoding: bytes, as: UTF8.self).replacing(/\u{1B}\[[0-9;?]*[A-Za-z]/, with: "")
    }

    /// Waiting for a terminal blocks, so it has a thread of its own.
    private func onThread<R: Sendable>(
        _ body: @escaping @Sendable (Typist) throws -> R
    ) async throws -> R {
        try await withCheckedThrowingContinuation { continuation in
            Thread.detachNewThread { continuation.resume(with: Result { try body(self) }) }
        }
    }
}

/// Lends a list of C strings with a null at its end.
private func withStrings<R>(
    _ texts: [String], _ body: ([UnsafeMutablePointer<CChar>?]) -> R
) -> R {
    let strings = texts.map { strdup($0) } + [nil]
    defer { for string in strings { free(string) } }
    return body(strings)
}
