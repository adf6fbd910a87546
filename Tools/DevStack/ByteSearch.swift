import Foundation

/// How often a piece of ASCII text stands in some bytes.
package func occurrences(of text: StaticString, in bytes: UnsafeRawBufferPointer) -> Int {
    let length = text.utf8CodeUnitCount
    guard let base = bytes.baseAddress, length > 0 else { return 0 }
    var count = 0
    var position = 0
    while position + length <= bytes.count {
        let rest = bytes.count - position - length + 1
        guard let hit = memchr(base + position, Int32(text.utf8Start[0]), rest) else { break }
        let found = UnsafeRawPointer(hit) - base
        if memcmp(base + found, text.utf8Start, length) == 0 {
            count += 1
            position = found + length
        } else {
            position = found + 1
        }
    }
    return count
}
