import Dispatch
import Foundation
import Logging
import Synchronization
import WireJSON

/// Where log lines go. One call is one whole line.
package protocol LogOutput: Sendable {
    /// - Parameters:
    ///   - line: with its line feed.
    ///   - level: what the line is of.
    func write(_ line: [UInt8], at level: Logger.Level)
}

/// Writes log lines to a file descriptor from a thread of its own, many with one system call, so
/// that a request neither pays for them nor waits for their reader.
///
/// A line is written after ``interval`` at the latest, from ``urgent`` on at once. A process that
/// is killed loses what waits; one that ends calls ``flush(within:)``. Each write holds whole lines
/// and, but for a longer line, no more than a pipe takes in one piece, so lines of several
/// processes on one pipe do not mix.
package final class BatchedLogOutput: LogOutput {
    /// Longest time that a line waits.
    package static let interval: DispatchTimeInterval = .milliseconds(100)
    /// Lines of this level and above do not wait.
    package static let urgent: Logger.Level = .warning
    /// Bytes that wait at most; lines beyond are lost, and counted.
    package static let defaultCapacity = 4 << 20
    /// Bytes of one write: Linux keeps those to a pipe in one piece.
    static let pieceBytes = 4096

    /// The log of this process.
    package static let standardError = BatchedLogOutput()

    private struct Waiting {
        var bytes: [UInt8] = []
        var lost = 0
    }

    private let descriptor: Int32
    private let capacity: Int
    private let waiting = Mutex(Waiting())
    /// Held during a write, so that lines keep the order of the calls.
    private let writing = Mutex(())
    private let wake = DispatchSemaphore(value: 0)
    private let hurry = Atomic(false)
    private let lostInAll = Atomic(0)

    /// - Parameters:
    ///   - descriptor: of a file, pipe or terminal, which must stay open.
    ///   - capacity: bytes that wait at most.
    package init(descriptor: Int32 = STDERR_FILENO, capacity: Int = defaultCapacity) {
        self.descriptor = descriptor
        self.capacity = capacity
        let thread = Thread { [weak self, wake] in
            while true {
                wake.wait()
                guard self?.writeSoon() != nil else { return }
            }
        }
        thread.name = "log"
        thread.start()
    }

    deinit { wake.signal() }

    /// Lines that were lost so far, as nobody took those before them in time.
    package var lost: Int { lostInAll.load(ordering: .relaxed) }

    package func write(_ line: [UInt8], at level: Logger.Level) {
        let isUrgent = level >= Self.urgent
        let isFirst = waiting.withLock { waiting in
            guard waiting.bytes.count + line.count <= capacity else {
                waiting.lost += 1
                lostInAll.wrappingAdd(1, ordering: .relaxed)
                return false
            }
            waiting.bytes.append(contentsOf: line)
            return waiting.bytes.count == line.count
        }
        if isUrgent { hurry.store(true, ordering: .releasing) }
        if isFirst || isUrgent { wake.signal() }
    }

    /// Writes what waits, and returns when it is written.
    ///
    /// - Parameter limit: longest time for it, as the reader may have stopped.
    package func flush(within limit: DispatchTimeInterval = .seconds(1)) {
        let done = DispatchSemaphore(value: 0)
        DispatchQueue.global().async {
            self.writeAll()
            done.signal()
        }
        _ = done.wait(timeout: .now() + limit)
    }

    private func writeAll() {
        writing.withLock { _ in
            let batch = waiting.withLock { waiting in
                defer { waiting = Waiting() }
                return waiting
            }
            write(batch.bytes)
            if batch.lost > 0 { write(Self.line(ofLost: batch.lost)) }
        }
    }

    /// Gives further lines some time to come, then writes them all.
    private func writeSoon() {
        if !hurry.load(ordering: .acquiring) { _ = wake.wait(timeout: .now() + Self.interval) }
        hurry.store(false, ordering: .releasing)
        writeAll()
    }

    private static func line(ofLost lines: Int) -> [UInt8] {
        var line: [UInt8] = []
        line.append(literal: "{\"ts\":\"")
        line.append(contentsOf: Timestamp.nowUTF8())
        line.append(literal: "\",\"level\":\"warning\",\"message\":\"log lines were lost: ")
        line.append(literal: "the reader of the log is too slow\",\"lines\":")
        line.append(contentsOf: "\(lines)}\n".utf8)
        return line
    }

    private func write(_ bytes: [UInt8]) {
        var start = bytes.startIndex
        while start < bytes.endIndex {
            let end = Self.endOfPiece(of: bytes, from: start)
            // A log that cannot be written must not stop the service.
            guard write(bytes[start..<end]) else { return }
            start = end
        }
    }

    /// Where the last line ends that fits into a piece; the first line's end if it alone does not.
    static func endOfPiece(of bytes: [UInt8], from start: Int) -> Int {
        let feed = UInt8(ascii: "\n")
        let limit = min(start + pieceBytes, bytes.endIndex)
        if let last = bytes[start..<limit].lastIndex(of: feed) { return last + 1 }
        return bytes[limit...].firstIndex(of: feed).map { $0 + 1 } ?? bytes.endIndex
    }

    /// - Returns: whether all was written.
    private func write(_ piece: ArraySlice<UInt8>) -> Bool {
        piece.withUnsafeBytes { piece in
            var rest = piece[...]
            while !rest.isEmpty {
                let part = UnsafeRawBufferPointer(rebasing: rest)
                let written = Foundation.write(descriptor, part.baseAddress, part.count)
                if written < 0 {
                    guard errno == EINTR || errno == EAGAIN && isWritable() else { return false }
                    continue
                }
                rest = rest.dropFirst(written)
            }
            return true
        }
    }

    /// Waits until a descriptor that does not block takes more.
    private func isWritable() -> Bool {
        var poll = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
        return Foundation.poll(&poll, 1, -1) >= 0 || errno == EINTR
    }
}
