#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The keys of the objects that are open, to find the same key twice.
///
/// Small objects, nearly all of them, are compared key by key without hashing; from
/// `hashingThreshold` keys on a set takes over, so that a payload of a hundred thousand keys stays linear. It does
/// from the first escaped key on, too: `"a"` and `"\u0061"` are one key.
struct KeyRegister {
    /// Keys in one object over which a set is cheaper than comparing.
    static let hashingThreshold = 24

    private var keys: [JSONSlice] = []
    private var objects: [OpenObject] = []

    private struct OpenObject {
        let firstKey: Int
        var seen: Set<[UInt8]>?
    }

    mutating func reset() {
        keys.removeAll(keepingCapacity: true)
        objects.removeAll(keepingCapacity: true)
    }

    mutating func enterObject() {
        objects.append(OpenObject(firstKey: keys.count, seen: nil))
    }

    mutating func leaveObject() {
        guard let object = objects.popLast() else { return }
        keys.removeSubrange(object.firstKey...)
    }

    /// Adds a key of the innermost object; false if the object has it already.
    mutating func insert(_ key: JSONSlice, in bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        // Not `objects.last`: a copy of the element would make each insertion copy its whole set.
        guard let firstKey = objects.indices.last.map({ objects[$0].firstKey }) else { return true }
        let own = keys[firstKey...]
        // An escaped key would be unescaped once more for each comparison.
        if own.count >= Self.hashingThreshold || key.hasEscapes
            || objects[objects.count - 1].seen != nil
        {
            return insertHashed(key, in: bytes)
        }
        let isNew = !own.contains { Self.same($0, key, in: bytes) }
        keys.append(key)
        return isNew
    }

    private mutating func insertHashed(_ key: JSONSlice, in bytes: UnsafeBufferPointer<UInt8>)
        -> Bool
    {
        let last = objects.count - 1
        if objects[last].seen == nil {
            objects[last].seen = Set(
                keys[objects[last].firstKey...].map { unescaped($0, in: bytes) })
        }
        return objects[last].seen?.insert(unescaped(key, in: bytes)).inserted ?? true
    }

    /// Whether two keys without escapes are the same.
    private static func same(
        _ a: JSONSlice, _ b: JSONSlice, in bytes: UnsafeBufferPointer<UInt8>
    ) -> Bool {
        guard a.content.count == b.content.count, let base = bytes.baseAddress else { return false }
        return memcmp(base + a.content.lowerBound, base + b.content.lowerBound, a.content.count)
            == 0
    }
}
