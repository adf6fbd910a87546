import SeededRandom

/// Makes other inputs of one, the same in each run: what a fuzzer does, without its feedback.
struct Mutator {
    /// What readers treat in a way of its own.
    private static let words = [
        "9223372036854775807", "-9223372036854775808", "9007199254740992", "1e999", "-0", "null",
        "true", "{", "}", "[", "]", "\"", "\\u0000", "\\ud800", "\\", ",", ":", "\u{0}", "😀",
        "%00", "+", "=", "&", ".", "\n", "\r", " ",
    ]
    private static let tokens: [[UInt8]] =
        words.map { Array($0.utf8) } + [[0xFF, 0xFF, 0xFF, 0xFF], [0x80], [0xC3], [0, 0, 0, 0]]

    private var random = SeededGenerator(seed: 23)

    /// - Parameter other: another input, whose parts may be used.
    mutating func mutation(of input: [UInt8], with other: [UInt8], atMost bytes: Int) -> [UInt8] {
        var input = input
        for _ in 1...Int.random(in: 1...4, using: &random) { change(&input, other) }
        return Array(input.prefix(bytes))
    }

    private mutating func change(_ input: inout [UInt8], _ other: [UInt8]) {
        let place = Int.random(in: 0...input.count, using: &random)
        let end = min(input.count, place + Int.random(in: 1...8, using: &random))
        switch Int.random(in: 0..<8, using: &random) {
        case 0 where place < input.count:
            input[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        case 1 where place < input.count: input[place] = .random(in: 0 ... .max, using: &random)
        case 2: input.removeSubrange(place..<end)
        case 3: input.insert(contentsOf: input[place..<end], at: place)
        case 4: input = Array(input.prefix(place))
        case 5 where !other.isEmpty:
            let start = Int.random(in: 0..<other.count, using: &random)
            input.replaceSubrange(place..<end, with: other[start...].prefix(32))
        case 6:
            // Nested deeply, or repeated often.
            let piece = input[place..<end]
            let times = Int.random(in: 1...200, using: &random)
            input.insert(contentsOf: repeatElement(piece, count: times).joined(), at: place)
        default:
            let token = Self.tokens.randomElement(using: &random) ?? []
            input.replaceSubrange(place..<(Bool.random(using: &random) ? end : place), with: token)
        }
    }
}
