import CAllocator

/// What the C library's allocator does with memory that is free again.
///
/// By default it gives blocks of a page's size back to the system when they are freed and takes them from it again
/// for the next page, each time at the cost of a fault for every 4 kB of it: an eighth of Download's time.
enum ProcessMemory {
    /// Bytes of the largest block that is kept for the next.
    static let largestBlockKept: Int32 = 4 << 20
    /// Bytes at the end of a heap that are kept.
    static let endKept: Int32 = 16 << 20

    static func keepFreed() { oversync_keep_freed_memory(largestBlockKept, endKept) }
}
