import Foundation

extension UnsafeBufferPointer<UInt8> {
    /// Compares with `memcmp`, which is much faster than comparing as collections.
    func hasSameBytes(as other: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
        guard count == other.count else { return false }
        guard let own = baseAddress, let start = UnsafeBufferPointer(rebasing: other).baseAddress
        else { return isEmpty }
        return memcmp(own, start, count) == 0
    }
}
