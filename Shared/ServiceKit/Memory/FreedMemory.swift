/// When the freed memory of a process goes back to the system. Decides; performs nothing.
///
/// The allocator keeps what was freed for the next use, and what lies between blocks in use it
/// keeps for ever: after a burst of work a process would stay as large as it was in the burst.
struct FreedMemory {
    /// Free bytes for which the work is worth it.
    static let least = 8 << 20
    /// The same as a part of the bytes in use: it keeps a large process from asking all the time.
    static let leastPart = 0.1
    /// Looks after which what could not be given back is tried again: a minute. Part of it was
    /// only in use, or became free in that moment, when a burst was going on.
    static let looksPinned = 6

    /// Free bytes that could not be given back: pages between blocks in use, stacks, static data.
    private var pinned = 0
    /// Bytes that were in use then. When they have become fewer by `leastPart`, a burst is over,
    /// and what it held in place is free.
    private var allocatedAtReturn = 0
    /// Looks since then.
    private var looks = 0

    /// - Parameters:
    ///   - resident: bytes of the process that belong to no file.
    ///   - allocated: bytes that are in use.
    /// - Returns: whether freed memory is to go back now.
    mutating func look(resident: Int, allocated: Int) -> Bool {
        let free = max(0, resident - allocated)
        looks += 1
        let isLess = Double(allocated) < Double(allocatedAtReturn) * (1 - Self.leastPart)
        if looks > Self.looksPinned || isLess { pinned = 0 }
        pinned = min(pinned, free)
        return free - pinned >= max(Self.least, Int(Double(allocated) * Self.leastPart))
    }

    /// Freed memory has gone back; the bytes are what they are after that.
    mutating func returned(resident: Int, allocated: Int) {
        pinned = max(0, resident - allocated)
        allocatedAtReturn = allocated
        looks = 0
    }
}
