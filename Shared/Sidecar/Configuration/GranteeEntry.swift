import Model

/// One entry of `read` and `write` in `oversync.yaml`: the name of a role, or an object with at
/// least one of a user, a device and a role.
enum GranteeEntry: Codable {
    case role(String)
    case pattern(role: String?, user: String?, device: String?)

    /// The keys of an object.
    static let keys: Set<String> = ["role", "user", "device"]

    private enum CodingKeys: CodingKey { case role, user, device }

    init(from decoder: any Decoder) throws {
        if let name = try? decoder.singleValueContainer().decode(String.self) {
            self = .role(name)
            return
        }
        let entry = try decoder.container(keyedBy: CodingKeys.self)
        self = .pattern(
            role: try entry.decodeIfPresent(String.self, forKey: .role),
            user: try entry.decodeIfPresent(String.self, forKey: .user),
            device: try entry.decodeIfPresent(String.self, forKey: .device))
    }

    func encode(to encoder: any Encoder) throws {
        switch self {
        case .role(let name):
            var container = encoder.singleValueContainer()
            try container.encode(name)
        case .pattern(let role, let user, let device):
            var container = encoder.container(keyedBy: CodingKeys.self)
            try container.encodeIfPresent(role, forKey: .role)
            try container.encodeIfPresent(user, forKey: .user)
            try container.encodeIfPresent(device, forKey: .device)
        }
    }

    /// What says so in the file, the same for the same grantees; nil: everybody.
    static func entries(of grantees: Grantees?) -> [GranteeEntry]? {
        guard let grantees else { return nil }
        let patterns = grantees.patterns.map {
            [$0.role ?? "", $0.user?.text.value ?? "", $0.device?.text.value ?? ""]
        }.sorted { $0.lexicographicallyPrecedes($1) }
        return grantees.roles.sorted().map(GranteeEntry.role)
            + patterns.map { texts in
                let parts = texts.map { $0.isEmpty ? nil : $0 }
                return .pattern(role: parts[0], user: parts[1], device: parts[2])
            }
    }

    /// - Parameters:
    ///   - entries: nil: everybody.
    ///   - place: where the list stands in the file.
    ///   - table: whose list it is, for the messages.
    static func grantees(
        _ entries: [GranteeEntry]?, at place: String, of table: String
    ) throws(RegistrationError) -> Grantees? {
        guard let entries else { return nil }
        var roles: Set<String> = []
        var patterns: Set<AccessPattern> = []
        for entry in entries {
            switch entry {
            case .role(let name), .pattern(let name?, nil, nil):
                roles.insert(try role(name, at: place, of: table))
            case .pattern(let role, let user, let device):
                guard user != nil || device != nil else {
                    throw RegistrationError(
                        "\(place) of \(table): an entry names no role, user or device")
                }
                patterns.insert(
                    AccessPattern(
                        role: try role.map { name throws(RegistrationError) in
                            try Self.role(name, at: place, of: table)
                        },
                        user: try pattern(user, at: place + ".user", of: table),
                        device: try pattern(device, at: place + ".device", of: table)))
            }
        }
        guard patterns.count <= Grantees.maximumPatterns else {
            throw RegistrationError(
                "\(place) of \(table): \(patterns.count) patterns of users and devices; "
                    + "at most \(Grantees.maximumPatterns), take roles instead")
        }
        return Grantees(roles: roles, patterns: patterns)
    }

    static func roles(
        _ names: [String], at place: String, of table: String
    ) throws(RegistrationError) -> Set<String> {
        var roles: Set<String> = []
        for name in names { roles.insert(try role(name, at: place, of: table)) }
        return roles
    }

    private static func role(
        _ name: String, at place: String, of table: String
    ) throws(RegistrationError) -> String {
        guard isRoleName(name) else {
            throw RegistrationError(
                "\(place) of \(table): \"\(name)\" is no role: letters, digits, . _ : and -, "
                    + "at most 63"
            )
        }
        return name
    }

    private static func pattern(
        _ text: String?, at place: String, of table: String
    ) throws(RegistrationError) -> NamePattern? {
        guard let text else { return nil }
        guard let pattern = NamePattern(text), !text.unicodeScalars.contains(where: isControl)
        else {
            throw RegistrationError(
                "\(place) of \(table): \"\(text)\" is no pattern: "
                    + "1 to \(NamePattern.maximumBytes) bytes without control characters, "
                    + "with at most \(NamePattern.maximumStars) *")
        }
        return pattern
    }

    /// No token's user or device has such.
    private static func isControl(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.generalCategory == .control
    }
}
