import Foundation

/// Where a piece of ASCII text first stands in some bytes, from a place on; nil when nowhere.
package func firstOccurrence(
    of text: StaticString, in bytes: UnsafeRawBufferPointer, from start: Int = 0
) -> Int? {
    let length = text.utf8CodeUnitCount
    guard let base = bytes.baseAddress, length > 0 else { return nil }
    var position = start
    while position + length <= bytes.count {
        let rest = bytes.count - position - length + 1
        guard let hit = memchr(base + position, Int32(text.utf8Start[0]), rest) else { return nil }
        let found = UnsafeRawPointer(hit) - base
        if memcmp(base + found, text.utf8Start, length) == 0 { return found }
        position = found + 1
    }
    return nil
}

/// How often a piece of ASCII text stands in some bytes.
package func occurrences(of text: StaticString, in bytes: UnsafeRawBufferPointer) -> Int {
    var count = 0
    var position = 0
    while let found = firstOccurrence(of: text, in: bytes, from: position) {
        count += 1
        position = found + text.utf8CodeUnitCount
    }
    return count
}
