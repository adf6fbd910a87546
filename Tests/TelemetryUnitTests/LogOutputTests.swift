import Dispatch
import Foundation
import Logging
import Testing

@testable import Telemetry

/// Log lines that a thread of its own writes, through real pipes.
@Suite(.timeLimit(.minutes(1))) struct LogOutputTests {
    /// Both ends of a pipe; the reader gets what is there.
    private final class Ends: Sendable {
        let reader: Int32
        let writer: Int32

        init() {
            var ends: [Int32] = [0, 0]
            precondition(pipe(&ends) == 0)
            (reader, writer) = (ends[0], ends[1])
        }

        deinit {
            close(reader)
            close(writer)
        }

        /// Waits for some bytes, of one write at most as many as a pipe keeps together.
        func read(upTo count: Int = 1 << 20) -> [UInt8] {
            var bytes = [UInt8](repeating: 0, count: count)
            let taken = Foundation.read(reader, &bytes, count)
            return Array(bytes.prefix(max(0, taken)))
        }

        /// Bytes that wait to be read.
        var waiting: Int {
            var count: Int32 = 0
            _ = ioctl(reader, UInt(FIONREAD), &count)
            return Int(count)
        }
    }

    private static func line(_ number: Int, length: Int = 20) -> [UInt8] {
        let start = "\(number) "
        return Array((start + String(repeating: "x", count: length - start.count - 1) + "\n").utf8)
    }

    @Test func `lines come in order, those of many calls with few writes`() {
        let ends = Ends()
        let output = BatchedLogOutput(descriptor: ends.writer)
        for number in 0..<1000 { output.write(Self.line(number), at: .info) }
        output.flush()
        #expect(ends.read() == (0..<1000).flatMap { Self.line($0) })
        #expect(output.lost == 0)
    }

    @Test func `a line of a request is written without another call`() {
        let ends = Ends()
        let output = BatchedLogOutput(descriptor: ends.writer)
        output.write(Self.line(1), at: .info)
        #expect(ends.read() == Self.line(1))
        // The next is too, if the thread had nothing to do meanwhile.
        output.write(Self.line(2), at: .warning)
        #expect(ends.read() == Self.line(2))
    }

    @Test func `what nobody reads is lost beyond the capacity, counted, and told of`() throws {
        let ends = Ends()
        #expect(fcntl(ends.writer, F_SETFL, O_NONBLOCK) == 0)
        // As much as the pipe holds, so that nothing can be written.
        let full = [UInt8](repeating: 0x2E, count: 4096)
        var filled = 0
        while true {
            let written = Foundation.write(ends.writer, full, full.count)
            guard written > 0 else { break }
            filled += written
        }
        let output = BatchedLogOutput(descriptor: ends.writer, capacity: 1000)
        output.write(Self.line(0), at: .warning)
        // Some may be on their way already; of 200 lines at most twice the capacity.
        for number in 1...200 { output.write(Self.line(number), at: .info) }
        #expect(output.lost >= 100 && output.lost <= 151)
        // An end does not wait for its reader.
        let start = ContinuousClock.now
        output.flush(within: .milliseconds(50))
        #expect(ContinuousClock.now - start < .seconds(10))
        // A thread that wakes late finds lost lines twice: in its first batch, too.
        var text: [UInt8] = []
        var lines: [Substring] = []
        var told: [Int] = []
        while told.reduce(0, +) < output.lost {
            text += ends.read()
            lines = String(decoding: text.dropFirst(filled), as: UTF8.self).split(separator: "\n")
            told = lines.compactMap { line in
                line.contains("log lines were lost") && line.hasSuffix("}")
                    ? line.split(separator: ":").last.flatMap { Int($0.dropLast()) } : nil
            }
        }
        #expect(lines.first?.hasPrefix("0 x") == true)
        #expect(told.reduce(0, +) == output.lost)
        #expect(lines.count == 201 - output.lost + told.count)
    }

    @Test func `a write ends with a line, and holds no more than a pipe keeps together`() {
        let bytes = (0..<300).flatMap { Self.line($0, length: 90) }
        var start = 0
        while start < bytes.count {
            let end = BatchedLogOutput.endOfPiece(of: bytes, from: start)
            #expect(bytes[end - 1] == UInt8(ascii: "\n"))
            #expect(
                end - start <= BatchedLogOutput.pieceBytes && end - start > 3900
                    || end == bytes.count)
            start = end
        }
        let long = Self.line(1, length: 10_000) + Self.line(2)
        #expect(BatchedLogOutput.endOfPiece(of: long, from: 0) == 10_000)
        #expect(BatchedLogOutput.endOfPiece(of: Array("no end".utf8), from: 0) == 6)
    }
}
