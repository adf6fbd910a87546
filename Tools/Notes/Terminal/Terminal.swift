import Foundation

/// The terminal on the other side of standard input and output, if there is one.
struct Terminal: Sendable {
    /// Columns of what is no terminal.
    private static let usualColumns = 80

    /// Whether a person types and reads here, on something that knows more than plain text.
    let isInteractive: Bool
    /// Whether colours are wanted.
    let hasColours: Bool

    init(environment: [String: String] = ProcessInfo.processInfo.environment) {
        isInteractive = isatty(0) == 1 && isatty(1) == 1 && environment["TERM"] != "dumb"
        hasColours = isInteractive && environment["NO_COLOR", default: ""].isEmpty
    }

    var columns: Int {
        var size = winsize()
        guard isInteractive, ioctl(1, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else {
            return Self.usualColumns
        }
        return Int(size.ws_col)
    }

    /// Runs `body` with keys coming as they are typed, without echo, and puts everything back afterwards.
    func withKeys<R>(
        isolation: isolated (any Actor)? = #isolation, _ body: () async throws -> R
    ) async rethrows -> R {
        var before = termios()
        guard isInteractive, tcgetattr(0, &before) == 0 else { return try await body() }
        var keys = before
        keys.c_lflag &= ~tcflag_t(ICANON | ECHO | ISIG | IEXTEN)
        keys.c_iflag &= ~tcflag_t(IXON)
        tcsetattr(0, TCSADRAIN, &keys)
        defer { tcsetattr(0, TCSADRAIN, &before) }
        return try await body()
    }

    /// Writes to standard output.
    ///
    /// - Returns: false if nobody reads any more.
    func write(_ text: String) -> Bool {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.write(1, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            rest = rest.dropFirst(count)
        }
        return true
    }

    /// Most bytes taken from standard input at once.
    private static let readBytes = 4096

    /// Reads standard input on a thread of its own until its end: reading blocks, and for a file there is
    /// nothing that could be waited for.
    ///
    /// - Parameter take: gets the bytes; nil is the end.
    func readInput(_ take: @escaping @Sendable ([UInt8]?) -> Void) {
        Thread.detachNewThread {
            while true {
                var buffer = [UInt8](repeating: 0, count: Self.readBytes)
                let count = read(0, &buffer, buffer.count)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { return take(nil) }
                take(Array(buffer[..<count]))
            }
        }
    }
}
