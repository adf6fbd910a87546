import Dispatch
import Foundation
import Testing

@testable import ServiceKit

/// Memory that is free again, files that may be open, and what is suspicious in a configuration.
@Suite("Memory and files of a process")
struct MemoryTests {
    private static let mebibyte = 1 << 20

    @Test("Freed memory goes back when it is worth the work, and once")
    func decision() {
        var freed = FreedMemory()
        let (used, megabyte) = (40 * Self.mebibyte, Self.mebibyte)
        func looked(_ resident: Int, _ used: Int) -> Bool {
            freed.look(resident: resident, allocated: used)
        }
        #expect(!looked(used + 7 * megabyte, used))
        #expect(looked(used + 8 * megabyte, used))
        // Three megabytes lie between blocks in use: they count no more.
        freed.returned(resident: used + 3 * megabyte, allocated: used)
        #expect(!looked(used + 10 * megabyte, used))
        #expect(looked(used + 11 * megabyte, used))
        // Until they are in use again.
        #expect(!looked(used + megabyte, used))
        #expect(looked(used + 9 * megabyte, used))
        // Of a large process it must be a part.
        #expect(!looked(1090 * megabyte, 1000 * megabyte))
        #expect(looked(1102 * megabyte, 1000 * megabyte))
    }

    @Test("What could not go back is tried again after a while, and not at each look")
    func triedAgain() {
        var freed = FreedMemory()
        let (used, pinned) = (4 * Self.mebibyte, 24 * Self.mebibyte)
        for _ in 0..<2 {
            freed.returned(resident: used + pinned, allocated: used)
            for _ in 0..<FreedMemory.looksPinned {
                let isEarly = freed.look(resident: used + pinned, allocated: used)
                #expect(!isEarly)
            }
            let isTried = freed.look(resident: used + pinned, allocated: used)
            #expect(isTried)
        }
        // Too little is never worth it.
        freed.returned(resident: used + 7 * Self.mebibyte, allocated: used)
        for _ in 0..<(3 * FreedMemory.looksPinned) {
            let isTried = freed.look(resident: used + 7 * Self.mebibyte, allocated: used)
            #expect(!isTried)
        }
    }

    @Test("What a burst held in place is tried again when its memory is no longer in use")
    func burst() {
        var freed = FreedMemory()
        let megabyte = Self.mebibyte
        freed.returned(resident: 100 * megabyte, allocated: 70 * megabyte)
        func looked(_ resident: Int, _ used: Int) -> Bool {
            freed.look(resident: resident * megabyte, allocated: used * megabyte)
        }
        #expect(!looked(100, 65))
        #expect(looked(100, 62))
        freed.returned(resident: 80 * megabyte, allocated: 62 * megabyte)
        #expect(!looked(80, 62))
        #expect(looked(80, 20))
    }

    @Test("The end of each thread's heap goes back to the system while the thread lives on")
    func ends() throws {
        guard ProcessMemory.look() != nil else { return }
        ProcessMemory.keepFreed()
        // Each keeps less at the end of its heap than may be kept there.
        let (threads, count, size) = (3, 192, 64 << 10)
        let (full, emptied) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        let (freed, end) = (DispatchSemaphore(value: 0), DispatchSemaphore(value: 0))
        for _ in 0..<threads {
            Thread.detachNewThread {
                let blocks = (0..<count).map { _ in
                    let block = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
                    block.initializeMemory(as: UInt8.self, repeating: 7, count: size)
                    return block
                }
                full.signal()
                emptied.wait()
                for block in blocks { block.deallocate() }
                freed.signal()
                end.wait()
            }
        }
        defer { for _ in 0..<threads { end.signal() } }
        for _ in 0..<threads { full.wait() }
        let before = try #require(ProcessMemory.look())
        for _ in 0..<threads { emptied.signal() }
        for _ in 0..<threads { freed.wait() }
        // The process of the tests may have had more heaps before the limit was set.
        let heaps = 8 * ProcessInfo.processInfo.activeProcessorCount
        ProcessMemory.returnFreed(heaps: max(ProcessMemory.heaps, Int32(heaps)))
        let after = try #require(ProcessMemory.look())
        #expect(before.resident - after.resident > threads * count * size / 2)
    }

    @Test("Blocks that were freed between others go back to the system")
    func returned() throws {
        guard ProcessMemory.look() != nil else { return }
        let (count, size) = (4096, 16 << 10)
        var blocks = (0..<count).map { _ in
            let block = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
            block.initializeMemory(as: UInt8.self, repeating: 7, count: size)
            return block
        }
        // Every eighth stays, so that no end of a heap is free.
        var kept: [UnsafeMutableRawPointer] = []
        for (index, block) in blocks.enumerated() {
            if index % 8 == 0 { kept.append(block) } else { block.deallocate() }
        }
        blocks = []
        let before = try #require(ProcessMemory.look())
        ProcessMemory.returnFreed()
        let after = try #require(ProcessMemory.look())
        #expect(before.resident - after.resident > count * size / 2)
        for block in kept { block.deallocate() }
    }

    @Test("The limit of open files is as high as it may be")
    func files() {
        OpenFiles.raise()
        let limit = OpenFiles.limit
        #expect(limit >= 64)
        OpenFiles.raise()
        #expect(OpenFiles.limit == limit)
    }

    @Test("A check tells what a program finds suspicious, and can be used all the same")
    func suspicions() {
        let program = ServiceProgram(
            name: "test", purpose: "tests", settings: [], socketFolder: nil,
            suspicions: { $0.isSet("FILES") ? ["few files"] : [] }, check: { _ in [] })
        func report(_ environment: [String: String]) -> ConfigurationReport {
            ConfigurationReport(program, Configuration(environment: environment))
        }
        #expect(report(["FILES": "7"]).text.contains("warning: few files\n"))
        #expect(report(["FILES": "7"]).exitCode == ExitCode.done)
        #expect(!report(["FILES": ""]).text.contains("few files"))
    }
}
