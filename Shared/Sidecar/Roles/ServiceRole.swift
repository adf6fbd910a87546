/// What a PostgreSQL role is for: one role a service, and one for the jobs that prune.
package enum ServiceRole: String, CaseIterable, Hashable, Sendable {
    case upload, download, auth, maintenance

    /// The name that `oversync migrate` gives it unless told otherwise.
    package var defaultName: String { "oversync_" + rawValue }
}

/// The name of a PostgreSQL role that Oversync may create or grant to.
package struct RoleName: Hashable, Sendable, CustomStringConvertible {
    /// PostgreSQL cuts longer names.
    package static let maximumBytes = 63
    /// As the error texts say it.
    package static let rule =
        "1 to \(maximumBytes) letters, digits, _ . @ or -, not beginning with a digit or pg_"

    package let description: String

    /// Nil for a name that PostgreSQL reserves, or that no sane role has.
    package init?(_ text: String) {
        let isWord = text.wholeMatch(of: /[A-Za-z_][A-Za-z0-9_.@-]*/) != nil
        let isReserved =
            text.hasPrefix("pg_")
            || ["public", "none", "current_user", "current_role", "session_user"].contains(text)
        guard isWord, !isReserved, text.utf8.count <= Self.maximumBytes else { return nil }
        description = text
    }

    /// One that is on record.
    init(known text: String) { description = text }

    /// The name of a purpose's own role.
    package static func standard(_ purpose: ServiceRole) -> RoleName {
        RoleName(known: purpose.defaultName)
    }

    var quoted: String { Sidecar.quoted(description) }
}

/// What `oversync migrate` is asked for: each purpose's role, and its password if it is to get one.
package struct RoleRequest: Sendable {
    package struct Entry: Sendable {
        /// Nil: as the database's records say, else the standard one.
        package var name: RoleName?
        /// Set only on a role that Oversync created. Never in a statement as it is: see `encryptedPassword`.
        package var password: String?

        package init(name: RoleName? = nil, password: String? = nil) {
            self.name = name
            self.password = password
        }
    }

    package let entries: [ServiceRole: Entry]

    /// The names on record or the standard ones, without passwords.
    package static let standard = RoleRequest()

    /// - Parameter entries: the purposes that need more explanation.
    package init(_ entries: [ServiceRole: Entry] = [:]) {
        self.entries = entries
    }

    /// One purpose's role, with its name settled.
    struct Resolved {
        let purpose: ServiceRole
        let name: RoleName
        let password: String?
    }

    /// All purposes, in one order. A run that names no role must not give the services others than they use.
    func resolved(recorded: [InstalledRole]) -> [Resolved] {
        ServiceRole.allCases.map { purpose in
            let entry = entries[purpose]
            let known = recorded.first { $0.purpose == purpose }.map { RoleName(known: $0.name) }
            return Resolved(
                purpose: purpose, name: entry?.name ?? known ?? .standard(purpose),
                password: entry?.password)
        }
    }
}

/// A role that is in the database's records.
package struct InstalledRole: Hashable, Sendable {
    package let purpose: ServiceRole
    package let name: String
    /// Oversync created it. Any other is only granted to.
    package let isManaged: Bool
    /// False where a database was restored on a server that has no such role.
    package let exists: Bool
}
