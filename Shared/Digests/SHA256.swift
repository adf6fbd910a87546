/// SHA-256 (FIPS 180-4), for the device, whose product depends on GRDB alone and whose platforms
/// have no common module for it.
///
/// It takes bytes in parts and keeps at most one block of them.
package struct SHA256 {
    /// Bytes of a block.
    private static let blockBytes = 64
    /// Words of a block once it is spread.
    private static let rounds = 64
    /// Where the length stands in the last block.
    private static let lengthPlace = 56

    private var state: (UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32) = (
        0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab,
        0x5be0_cd19
    )
    /// Bytes that do not fill a block yet.
    private var rest: [UInt8] = []
    private var count: UInt64 = 0

    package init() {}

    /// The first eight bytes of the hash of some bytes, as a number.
    package static func prefix(of bytes: UnsafeBufferPointer<UInt8>) -> UInt64 {
        var hash = SHA256()
        hash.update(bytes)
        return hash.prefix()
    }

    package mutating func update(_ bytes: UnsafeBufferPointer<UInt8>) {
        count &+= UInt64(bytes.count)
        var bytes = bytes[...]
        if !rest.isEmpty {
            let missing = Self.blockBytes - rest.count
            rest.append(contentsOf: bytes.prefix(missing))
            bytes = bytes.dropFirst(missing)
            guard rest.count == Self.blockBytes else { return }
            rest.withUnsafeBufferPointer { compress($0) }
            rest.removeAll(keepingCapacity: true)
        }
        while bytes.count >= Self.blockBytes {
            compress(UnsafeBufferPointer(rebasing: bytes.prefix(Self.blockBytes)))
            bytes = bytes.dropFirst(Self.blockBytes)
        }
        rest.append(contentsOf: bytes)
    }

    package mutating func update(_ bytes: some Sequence<UInt8>) {
        let copy = Array(bytes)
        copy.withUnsafeBufferPointer { update($0) }
    }

    /// Adds a number, its highest byte first.
    package mutating func update(bigEndian number: UInt64) {
        withUnsafeBytes(of: number.bigEndian) { update($0.bindMemory(to: UInt8.self)) }
    }

    /// The hash's first eight bytes as a number, the highest first.
    package consuming func prefix() -> UInt64 {
        let end = finished()
        return UInt64(end.0) << 32 | UInt64(end.1)
    }

    /// The hash.
    package consuming func bytes() -> [UInt8] {
        let end = finished()
        return [end.0, end.1, end.2, end.3, end.4, end.5, end.6, end.7].flatMap { word in
            (0..<4).map { UInt8(truncatingIfNeeded: word >> UInt32(24 - 8 * $0)) }
        }
    }

    private consuming func finished() -> (
        UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32, UInt32
    ) {
        let bits = count &* 8
        var end: [UInt8] = [0x80]
        while (rest.count + end.count) % Self.blockBytes != Self.lengthPlace { end.append(0) }
        update(end)
        update(bigEndian: bits)
        return state
    }

    /// - Parameter block: of ``blockBytes``.
    private mutating func compress(_ block: UnsafeBufferPointer<UInt8>) {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: Self.rounds) { words in
            for place in 0..<16 {
                let at = place * 4
                words[place] =
                    UInt32(block[at]) << 24 | UInt32(block[at + 1]) << 16
                    | UInt32(block[at + 2]) << 8 | UInt32(block[at + 3])
            }
            for place in 16..<Self.rounds {
                let (a, b) = (words[place - 15], words[place - 2])
                let first = Self.turn(a, 7) ^ Self.turn(a, 18) ^ a >> 3
                let second = Self.turn(b, 17) ^ Self.turn(b, 19) ^ b >> 10
                words[place] = words[place - 16] &+ first &+ words[place - 7] &+ second
            }
            mix(words)
        }
    }

    private mutating func mix(_ words: UnsafeMutableBufferPointer<UInt32>) {
        var (a, b, c, d, e, f, g, h) = state
        Self.constants.withUnsafeBufferPointer { constants in
            for round in 0..<Self.rounds {
                let first = Self.turn(e, 6) ^ Self.turn(e, 11) ^ Self.turn(e, 25)
                let choice = e & f ^ ~e & g
                let one = h &+ first &+ choice &+ constants[round] &+ words[round]
                let second = Self.turn(a, 2) ^ Self.turn(a, 13) ^ Self.turn(a, 22)
                let two = second &+ (a & b ^ a & c ^ b & c)
                (h, g, f, e, d, c, b, a) = (g, f, e, d &+ one, c, b, a, one &+ two)
            }
        }
        state = (
            state.0 &+ a, state.1 &+ b, state.2 &+ c, state.3 &+ d, state.4 &+ e, state.5 &+ f,
            state.6 &+ g, state.7 &+ h
        )
    }

    @inline(__always)
    private static func turn(_ word: UInt32, _ bits: UInt32) -> UInt32 {
        word >> bits | word << (32 - bits)
    }

    private static let constants: [UInt32] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4,
        0xab1c_5ed5, 0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe,
        0x9bdc_06a7, 0xc19b_f174, 0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f,
        0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da, 0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7,
        0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967, 0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc,
        0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85, 0xa2bf_e8a1, 0xa81a_664b,
        0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070, 0x19a4_c116,
        0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7,
        0xc671_78f2,
    ]
}
