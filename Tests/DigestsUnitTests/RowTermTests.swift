import Crypto
import Digests
import SeededRandom
import Testing

@Suite("Terms of rows")
struct RowTermTests {
    private static func term(_ key: String, _ version: Int64, _ payload: String) -> Int64 {
        let bytes = Array(payload.utf8)
        return bytes.withUnsafeBufferPointer {
            RowTerm.term(key: key, version: version, payload: $0)
        }
    }

    @Test("The term of a row is the same everywhere: this one is written down")
    func golden() {
        let term = Self.term(
            "0b6f2a3e-6b1c-4c7e-9a55-2f4f0c9d1e11", 7, #"{"title":"Grüße","done":false}"#)
        #expect(term == 675_785_837_877_940_492)
    }

    @Test("Key, version and each byte of the payload change it")
    func sensitivity() {
        let terms = [
            Self.term("a", 1, "{}"), Self.term("b", 1, "{}"), Self.term("a", 2, "{}"),
            Self.term("a", 1, "{ }"), Self.term("", 1, "{}"), Self.term("a", -1, "{}"),
            // The same letter, composed and not.
            Self.term("\u{e9}", 1, "{}"), Self.term("e\u{301}", 1, "{}"),
        ]
        #expect(Set(terms).count == terms.count)
        #expect(terms.allSatisfy { (0...RowTerm.mask).contains($0) })
    }

    @Test("Sums have no order, and what was added can be taken away, with no overflow")
    func sums() {
        let terms = (1...1000).map { Self.term("\($0)", 1, "{}") }
        let sum = terms.reduce(0, RowTerm.add)
        var random = SeededGenerator(seed: 8)
        #expect(terms.shuffled(using: &random).reduce(0, RowTerm.add) == sum)
        #expect((0...RowTerm.mask).contains(sum))
        #expect(terms.reduce(sum) { RowTerm.add($0, -$1) } == 0)
        #expect(RowTerm.add(RowTerm.mask, RowTerm.mask) == RowTerm.mask - 1)
    }

    @Test("SHA-256 is that of the library that services use, whatever the parts it is given")
    func hashes() {
        var random = SeededGenerator(seed: 1)
        let lengths = Array(0...200) + [1000, 4096, 100_000]
        for length in lengths {
            let bytes = (0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }
            let expected = Array(Crypto.SHA256.hash(data: bytes))
            var whole = Digests.SHA256()
            bytes.withUnsafeBufferPointer { whole.update($0) }
            #expect(whole.bytes() == expected)
            var parts = Digests.SHA256()
            var rest = bytes[...]
            while !rest.isEmpty {
                let part = rest.prefix(Int.random(in: 1...130, using: &random))
                parts.update(part)
                rest = rest.dropFirst(part.count)
            }
            #expect(parts.bytes() == expected)
            let number = expected.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            #expect(bytes.withUnsafeBufferPointer { Digests.SHA256.prefix(of: $0) } == number)
        }
    }

    @Test("A bucket is the first bits of the key's hash")
    func buckets() {
        for number in 0..<200 {
            let key = "key \(number)"
            let hash = Array(Crypto.SHA256.hash(data: Array(key.utf8)))
            #expect(RowBuckets.bucket(of: key, count: 256) == Int(hash[0]))
            #expect(
                RowBuckets.bucket(of: key, count: 4096) == Int(hash[0]) << 4 | Int(hash[1]) >> 4)
        }
        #expect(RowBuckets.count(forRows: 50_000) == 256)
        #expect(RowBuckets.count(forRows: 50_001) == 4096)
    }
}
