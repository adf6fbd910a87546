import Foundation
import Model

/// Who asks for a table: what the token says, and which kinds of keys the client asks for.
package struct Caller: Hashable, Sendable {
    package let user: UserID
    package let device: DeviceID
    package let roles: Set<String>
    /// Of the kinds that must be asked for.
    package let keyKinds: Set<KeyKind>

    package init(
        user: UserID, device: DeviceID, roles: some Sequence<String>,
        keyKinds: Set<KeyKind> = []
    ) {
        self.user = user
        self.device = device
        self.roles = Set(roles)
        self.keyKinds = keyKinds
    }

    /// Whether the client knows what to do with such keys.
    package func asks(for kind: KeyKind) -> Bool { !kind.mustBeAskedFor || keyKinds.contains(kind) }
}

/// Who may read and write a table.
package struct TableAccess: Hashable, Sendable {
    /// Nil: everybody.
    package let readers: Grantees?
    /// Nil: everybody who may read.
    package let writers: Grantees?

    package static let everybody = TableAccess(readers: nil, writers: nil)

    package init(readers: Grantees?, writers: Grantees?) {
        self.readers = readers
        self.writers = writers
    }

    package func mayRead(_ caller: Caller) -> Bool { readers?.include(caller) ?? true }

    /// The answer to a conflict shows the row, hence nobody writes what they may not read.
    package func mayWrite(_ caller: Caller) -> Bool {
        mayRead(caller) && (writers?.include(caller) ?? true)
    }

    /// Whether there are any who may write, as far as the registration says.
    package var isOpenToAnybody: Bool {
        readers?.areNobody != true && writers?.areNobody != true
    }

    /// Every role by which the table is open to somebody.
    package var namedRoles: Set<String> {
        (readers?.namedRoles ?? []).union(writers?.namedRoles ?? [])
    }
}

/// Those who may access something: callers with one of the roles, or matched by one of the
/// patterns.
package struct Grantees: Hashable, Sendable {
    /// The most patterns of one list.
    package static let maximumPatterns = 64

    package let roles: Set<String>
    package let patterns: Set<AccessPattern>

    package init(roles: Set<String>, patterns: Set<AccessPattern> = []) {
        self.roles = roles
        self.patterns = patterns
    }

    package func include(_ caller: Caller) -> Bool {
        !roles.isDisjoint(with: caller.roles) || patterns.contains { $0.matches(caller) }
    }

    fileprivate var areNobody: Bool { roles.isEmpty && patterns.isEmpty }

    fileprivate var namedRoles: Set<String> { roles.union(patterns.compactMap(\.role)) }
}

/// A user, a device and a role, as far as they are named: all of them must fit.
package struct AccessPattern: Hashable, Sendable {
    package let role: String?
    package let user: NamePattern?
    package let device: NamePattern?

    package init(role: String? = nil, user: NamePattern? = nil, device: NamePattern? = nil) {
        self.role = role
        self.user = user
        self.device = device
    }

    package func matches(_ caller: Caller) -> Bool {
        (role.map(caller.roles.contains) ?? true)
            && (user?.matches(caller.user.value) ?? true)
            && (device?.matches(caller.device.value) ?? true)
    }
}

/// A name in which `*` stands for any text, also for none. Compared byte for byte.
package struct NamePattern: Hashable, Sendable {
    /// As long as the longest user or device.
    package static let maximumBytes = WireLimits.maximumIdentityBytes
    package static let maximumStars = 8

    package let text: ExactText

    /// - Returns: nil for a pattern that is empty, too long, or has too many stars.
    package init?(_ text: String) {
        let stars = text.utf8.count { $0 == Self.star }
        guard (1...Self.maximumBytes).contains(text.utf8.count), stars <= Self.maximumStars else {
            return nil
        }
        self.text = ExactText(text)
    }

    private static let star = UInt8(ascii: "*")

    package func matches(_ name: String) -> Bool {
        let parts = text.value.utf8.split(separator: Self.star, omittingEmptySubsequences: false)
        var rest = Array(name.utf8)[...]
        guard let first = parts.first, let last = parts.last, rest.starts(with: first) else {
            return false
        }
        guard parts.count > 1 else { return rest.count == first.count }
        rest = rest.dropFirst(first.count)
        // The first place of a part leaves most to those after it.
        for part in parts.dropFirst().dropLast() {
            guard let place = Self.firstPlace(of: part, in: rest) else { return false }
            rest = rest[(place + part.count)...]
        }
        return rest.count >= last.count && rest.suffix(last.count).elementsEqual(last)
    }

    private static func firstPlace(
        of part: Substring.UTF8View, in bytes: ArraySlice<UInt8>
    ) -> Int? {
        guard bytes.count >= part.count else { return nil }
        return (bytes.startIndex...(bytes.endIndex - part.count)).first {
            bytes[$0...].starts(with: part)
        }
    }
}

// MARK: - In sync.catalog

extension Grantees {
    /// Reads what `sync.catalog` has.
    ///
    /// - Parameters:
    ///   - roles: their names with commas between; nil for everybody.
    ///   - patterns: as ``storedPatterns``. Some that cannot be read let nobody in.
    init?(roles: String?, patterns: String?) {
        guard let roles else { return nil }
        let entries = patterns.flatMap {
            try? JSONDecoder().decode([[String: String]].self, from: Data($0.utf8))
        }
        self.init(
            // The names of roles have no comma in them.
            roles: Set(roles.split(separator: ",").map(String.init)),
            patterns: Set((entries ?? []).compactMap(AccessPattern.init(stored:))))
    }

    /// The roles as `sync.catalog` has them. A service of a version before this one knows them
    /// alone, and so lets in nobody whom it should not.
    var storedRoles: [String] { roles.sorted() }

    /// The patterns as `sync.catalog` has them, an array of objects: the same text for the same
    /// patterns; nil for none.
    var storedPatterns: String? {
        guard !patterns.isEmpty else { return nil }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let texts = patterns.compactMap { try? encoder.encode($0.stored) }
            .map { String(decoding: $0, as: UTF8.self) }
        return "[" + texts.sorted().joined(separator: ",") + "]"
    }
}

extension AccessPattern {
    fileprivate var stored: [String: String] {
        ["role": role, "user": user?.text.value, "device": device?.text.value]
            .compactMapValues { $0 }
    }

    /// - Returns: nil for what would match everybody, or cannot be read: a condition that is not
    ///   understood must not be passed over.
    fileprivate init?(stored: [String: String]) {
        let known = ["role", "user", "device"]
        guard !stored.isEmpty, stored.keys.allSatisfy(known.contains) else { return nil }
        let (user, device) = (stored["user"], stored["device"])
        let (users, devices) = (user.flatMap(NamePattern.init), device.flatMap(NamePattern.init))
        guard (user == nil) == (users == nil), (device == nil) == (devices == nil) else {
            return nil
        }
        self.init(role: stored["role"], user: users, device: devices)
    }
}
