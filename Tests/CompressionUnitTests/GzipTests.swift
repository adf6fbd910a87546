import Compression
import Foundation
import NIOCore
import SeededRandom
import Testing

/// Bodies in the gzip format.
struct GzipTests {
    /// What the system's gzip makes of bytes: an implementation that is not ours.
    private func run(_ arguments: [String], _ input: [UInt8]) throws -> [UInt8] {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["gzip"] + arguments
        let (stdin, stdout) = (Pipe(), Pipe())
        process.standardInput = stdin
        process.standardOutput = stdout
        try process.run()
        // Both ends at once: a pipe holds less than some of the inputs.
        Thread.detachNewThread {
            try? stdin.fileHandleForWriting.write(contentsOf: Data(input))
            try? stdin.fileHandleForWriting.close()
        }
        let output = stdout.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return [UInt8](output)
    }

    private static let inputs: [[UInt8]] = {
        var random = SeededGenerator(seed: 1)
        return [
            [], [7], Array(repeating: 32, count: 65_536), Array(repeating: 1, count: 5_000_000),
            (0..<200_000).map { _ in UInt8.random(in: 0...255, using: &random) },
            Array(String(repeating: #"{"id":1,"name":"ä"},"#, count: 9000).utf8),
        ]
    }()

    @Test(arguments: inputs.indices)
    func `gzip reads what is written here, and what gzip writes is read here`(index: Int) throws {
        let input = Self.inputs[index]
        let packed = try #require(Gzip.deflate(ByteBuffer(bytes: input)))
        #expect(try run(["-dc"], Array(packed.readableBytesView)) == input)
        let theirs = ByteBuffer(bytes: try run(["-9c"], input))
        let ours = try Gzip.inflate(theirs, limit: input.count)
        #expect(Array(ours.readableBytesView) == input)
    }

    @Test func `members one behind the other are one body`() throws {
        var packed = try #require(Gzip.deflate(ByteBuffer(string: "one ")))
        var second = try #require(Gzip.deflate(ByteBuffer(string: "two")))
        packed.writeBuffer(&second)
        #expect(String(buffer: try Gzip.inflate(packed, limit: 7)) == "one two")
    }

    @Test func `a small body that grows over the limit is refused`() throws {
        let bomb = try #require(Gzip.deflate(ByteBuffer(repeating: 0, count: 50_000_000)))
        #expect(bomb.readableBytes < 500_000)
        #expect(throws: GzipError.tooLarge(limit: 1_000_000)) {
            try Gzip.inflate(bomb, limit: 1_000_000)
        }
        let exact = try #require(Gzip.deflate(ByteBuffer(repeating: 0, count: 1_000_000)))
        #expect(try Gzip.inflate(exact, limit: 1_000_000).readableBytes == 1_000_000)
        #expect(throws: GzipError.tooLarge(limit: 999_999)) {
            try Gzip.inflate(exact, limit: 999_999)
        }
    }

    @Test func `memory is asked for before it is taken, and a refusal ends it`() throws {
        let packed = try #require(Gzip.deflate(ByteBuffer(repeating: 0, count: 1_000_000)))
        var asked: [Int] = []
        let whole = try Gzip.inflate(packed, limit: 1_000_000) { bytes in
            asked.append(bytes)
            return true
        }
        #expect(whole.readableBytes == 1_000_000)
        #expect(asked == asked.sorted() && asked.count < 8)
        #expect(try #require(asked.last) >= 1_000_000)
        var granted: [Int] = []
        #expect(throws: GzipError.noRoom) {
            try Gzip.inflate(packed, limit: 1_000_000) { bytes in
                guard bytes <= 300_000 else { return false }
                granted.append(bytes)
                return true
            }
        }
        #expect(granted == asked.filter { $0 <= 300_000 })
    }

    @Test func `a stream that is cut off or damaged anywhere is refused`() throws {
        let text = ByteBuffer(string: String(repeating: "Some text to pack. ", count: 40))
        let packed = try #require(Gzip.deflate(text))
        for length in 0..<packed.readableBytes {
            let part = packed.getSlice(at: 0, length: length) ?? ByteBuffer()
            #expect(throws: GzipError.self, "\(length) bytes") {
                try Gzip.inflate(part, limit: 10_000)
            }
        }
        var damaged = packed
        for index in [0, 1, packed.readableBytes - 1, packed.readableBytes - 6] {
            let byte = packed.getInteger(at: index, as: UInt8.self) ?? 0
            damaged.setInteger(byte ^ 0x40, at: index)
            #expect(throws: GzipError.self, "byte \(index)") {
                try Gzip.inflate(damaged, limit: 10_000)
            }
            damaged.setInteger(byte, at: index)
        }
        #expect(throws: GzipError.corrupt) {
            try Gzip.inflate(ByteBuffer(string: "not gzip at all"), limit: 100)
        }
    }
}
