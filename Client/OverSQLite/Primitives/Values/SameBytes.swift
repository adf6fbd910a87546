import Foundation

extension UnsafeBufferPointer<UInt8> {
    /// Compares as memory, which comparing as collections does not come near.
    func hasSameBytes(as other: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
        guard count == other.count else { return false }
        guard let own = baseAddress, let start = UnsafeBufferPointer(rebasing: other).baseAddress
        else { return isEmpty }
        return memcmp(own, start, count) == 0
    }
}
