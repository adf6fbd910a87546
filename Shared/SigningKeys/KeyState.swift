/// What a key is for now. It follows from the key's times and the database's clock alone, so all
/// replicas and tools agree on it.
package enum KeyState: String, CaseIterable, Sendable {
    /// Published, so that verifiers know it, and not signing yet.
    case waiting
    /// The one that signs.
    case signing
    /// Published for the tokens that it has signed.
    case published
    /// No longer published: its tokens are rejected.
    case retired
}

/// A key's place in its life, as the database says.
package struct KeyTimes: Hashable, Sendable {
    /// May sign by its time.
    package let isActive: Bool
    /// Is to retire.
    package let retires: Bool
    /// Has retired.
    package let isRetired: Bool

    package init(isActive: Bool, retires: Bool, isRetired: Bool) {
        self.isActive = isActive
        self.retires = retires
        self.isRetired = isRetired
    }

    /// The place of the key that signs among keys in the order of their beginnings: the newest that
    /// is active and stays. Where all are to retire, the newest that is active; where none is
    /// active, the first, before there is none.
    package static func signer(of keys: [KeyTimes]) -> Int? {
        keys.lastIndex { $0.isActive && !$0.retires }
            ?? keys.lastIndex { $0.isActive && !$0.isRetired } ?? keys.firstIndex { !$0.isRetired }
    }

    /// The states of keys in the order of their beginnings.
    package static func states(of keys: [KeyTimes]) -> [KeyState] {
        let signer = signer(of: keys)
        return keys.enumerated().map { index, key in
            if index == signer { return .signing }
            if key.isRetired { return .retired }
            return key.isActive ? .published : .waiting
        }
    }
}
