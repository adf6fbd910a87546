import CAllocator
import Foundation

/// What the C library's allocator does with memory that is free again.
///
/// By default it gives blocks of a page's size back to the system when they are freed and takes
/// them from it again for the next page, each time at the cost of a fault for every 4 kB of it: an
/// eighth of Download's time.
enum ProcessMemory {
    /// Bytes of the largest block that is kept for the next.
    static let largestBlockKept: Int32 = 4 << 20
    /// Bytes at the end of a heap that are kept.
    static let endKept: Int32 = 16 << 20

    /// Heaps of all threads: for each processor one of its event loop and one of the thread of its
    /// tasks, and some for others. Threads beyond these share.
    static let heaps = Int32(min(mostHeaps, 2 * ProcessInfo.processInfo.activeProcessorCount + 4))
    /// Each costs two threads for a moment when memory is given back.
    static let mostHeaps = 64

    static func keepFreed() { oversync_keep_freed_memory(largestBlockKept, endKept, heaps) }

    /// Gives free memory back to the system, the ends of the heaps too. Takes milliseconds, in
    /// which others that allocate wait: nothing for an event loop.
    ///
    /// - Parameter heaps: as many as the process may have.
    static func returnFreed(heaps: Int32 = heaps) { oversync_return_freed_memory(heaps, endKept) }

    /// Bytes that are resident and belong to no file, and those of them that are in use; nil where
    /// the system or the allocator does not tell.
    static func look() -> (resident: Int, allocated: Int)? {
        let allocated = Int(oversync_allocated_bytes())
        guard allocated > 0, let text = try? String(contentsOfFile: statistics, encoding: .utf8)
        else { return nil }
        // Pages: in all, resident, and of those the ones of files (proc(5)).
        let pages = text.split(separator: " ").prefix(3).compactMap { Int($0) }
        guard pages.count == 3 else { return nil }
        return ((pages[1] - pages[2]) * Int(sysconf(Int32(_SC_PAGESIZE))), allocated)
    }

    private static let statistics = "/proc/self/statm"
}
