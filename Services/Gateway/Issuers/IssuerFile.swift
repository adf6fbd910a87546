import Foundation
import Model
import Yams

/// Reads what `OVERSYNC_ISSUERS` holds: YAML, with one issuer or a list of them.
enum IssuerFile {
    /// Most issuers.
    static let maximumIssuers = 32
    static let refreshBounds = 10...86_400
    static let defaultRefreshSeconds = 300
    /// Longest prefix of users, in bytes: what is left is the user's own.
    static let maximumPrefixBytes = 64
    private static let maximumTextBytes = 1024
    /// Labels of tokens that no issuer has issued.
    private static let reservedNames: Set = ["auth", "hs256", "none"]

    /// The keys of one issuer.
    static let keys: Set<String> = Set(Entry.CodingKeys.allCases.map(\.rawValue))

    /// One text or a list of texts.
    private struct Texts: Decodable {
        let all: [String]
        let isList: Bool

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let list = try? container.decode([String].self) {
                (all, isList) = (list, true)
            } else {
                (all, isList) = ([try container.decode(String.self)], false)
            }
        }

        var path: ClaimPath? { isList ? ClaimPath(levels: all) : ClaimPath(all[0]) }
    }

    private struct Entry: Decodable {
        let name: String?
        let issuer: String
        let jwksURL: String?
        let jwksFile: String?
        let caFile: String?
        let audience: Texts
        let algorithms: Texts?
        let userClaim: Texts?
        let userPrefix: String?
        let sharedUsers: Bool?
        let deviceClaim: Texts?
        let deviceHeader: Bool?
        let rolesClaim: Texts?
        let roles: Texts?
        let refreshSeconds: Int?

        enum CodingKeys: String, CodingKey, CaseIterable {
            case name, issuer, audience, algorithms, roles
            case jwksURL = "jwks_url"
            case jwksFile = "jwks_file"
            case caFile = "ca_file"
            case userClaim = "user_claim"
            case userPrefix = "user_prefix"
            case sharedUsers = "shared_users"
            case deviceClaim = "device_claim"
            case deviceHeader = "device_header"
            case rolesClaim = "roles_claim"
            case refreshSeconds = "refresh_seconds"
        }
    }

    /// - Throws: `IssuerFlaw` with the first of what is wrong, and where.
    static func parse(_ yaml: String) throws(IssuerFlaw) -> [IssuerSettings] {
        let (issuers, flaws) = read(yaml)
        if let first = flaws.first { throw first }
        return issuers
    }

    /// - Returns: the issuers that can be used, and all that is wrong; of an issuer whose text
    ///   cannot be read, the first.
    static func read(_ yaml: String) -> (issuers: [IssuerSettings], flaws: [IssuerFlaw]) {
        let nodes: [Node]
        do throws(IssuerFlaw) { nodes = try Self.nodes(of: yaml) } catch { return ([], [error]) }
        var all: [IssuerSettings] = []
        var flaws: [IssuerFlaw] = []
        if !(1...maximumIssuers).contains(nodes.count) {
            flaws.append(
                IssuerFlaw("must have 1 to \(maximumIssuers) issuers, not \(nodes.count)"))
        }
        for (index, node) in nodes.prefix(maximumIssuers).enumerated() {
            let place = "issuers[\(index)]"
            guard let entry = entry(of: node, at: place, &flaws) else { continue }
            var own = Findings()
            guard let issuer = settings(of: entry, &own), own.flaws.isEmpty else {
                flaws += own.flaws.map { IssuerFlaw("\(place)\($0)") }
                continue
            }
            let clashes = all.compactMap { clash(of: issuer, with: $0) }
            flaws += clashes.map { IssuerFlaw("\(place)\($0)") }
            all.append(issuer)
        }
        return (all, flaws)
    }

    /// What is wrong with one issuer.
    private struct Findings {
        var flaws: [String] = []

        /// Goes on where a value cannot be used, to find what else is wrong.
        mutating func keep<Value>(_ body: () throws(IssuerFlaw) -> Value) -> Value? {
            do throws(IssuerFlaw) { return try body() } catch {
                flaws.append(error.description)
                return nil
            }
        }
    }

    private static func nodes(of yaml: String) throws(IssuerFlaw) -> [Node] {
        let document: Node?
        do { document = try Yams.compose(yaml: yaml) } catch {
            throw IssuerFlaw("is not YAML: \(words(for: error))")
        }
        guard let document else { throw IssuerFlaw("is empty") }
        if let list = document.sequence { return Array(list) }
        guard let mapping = document.mapping, mapping["issuers"] != nil else { return [document] }
        guard mapping.count == 1, let list = mapping["issuers"]?.sequence else {
            throw IssuerFlaw("must have the list issuers, and nothing else")
        }
        return Array(list)
    }

    private static func words(for error: any Error) -> String {
        switch error as? YamlError {
        case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
            .composer(_, let problem, let mark, _):
            "line \(mark.line), column \(mark.column): \(problem)"
        case .duplicatedKeysInMapping(let keys, let context):
            "line \(context.mark.line): a key stands more than once: "
                + keys.sorted().joined(separator: ", ")
        case .reader(let problem, _, _, _): "it is no text: \(problem)"
        default: "it cannot be read"
        }
    }

    private static func entry(
        of node: Node, at place: String, _ flaws: inout [IssuerFlaw]
    ) -> Entry? {
        let line = node.mark.map { ", in line \($0.line)," } ?? ""
        guard let mapping = node.mapping else {
            flaws.append(IssuerFlaw("\(place)\(line) must be a mapping: keys with values"))
            return nil
        }
        // A misspelt key must not be ignored in silence: it would switch a check off.
        for key in mapping.keys where !keys.contains(key.string ?? "") {
            let line = key.mark.map { " in line \($0.line)" } ?? ""
            flaws.append(
                IssuerFlaw(
                    "\(place) has the unknown key \"\(key.string ?? "")\"\(line); known: "
                        + keys.sorted().joined(separator: ", ")))
        }
        do {
            return try YAMLDecoder().decode(Entry.self, from: node)
        } catch DecodingError.keyNotFound(let key, _) {
            flaws.append(IssuerFlaw("\(place).\(key.stringValue) is missing"))
        } catch let error as DecodingError {
            flaws.append(IssuerFlaw("\(place)\(Self.place(of: error)) has the wrong type"))
        } catch {
            flaws.append(IssuerFlaw("\(place) cannot be read"))
        }
        return nil
    }

    private static func place(of error: DecodingError) -> String {
        let path: [any CodingKey] =
            switch error {
            case .typeMismatch(_, let context), .valueNotFound(_, let context),
                .keyNotFound(_, let context), .dataCorrupted(let context):
                context.codingPath
            @unknown default: []
            }
        return path.first.map { ".\($0.stringValue)" } ?? ""
    }

    /// - Returns: nil where a value without which there is no issuer cannot be used.
    private static func settings(of entry: Entry, _ found: inout Findings) -> IssuerSettings? {
        _ = found.keep { () throws(IssuerFlaw) in try check(entry.issuer, ".issuer") }
        for audience in entry.audience.all {
            _ = found.keep { () throws(IssuerFlaw) in try check(audience, ".audience") }
        }
        let prefix = entry.userPrefix ?? ""
        if prefix.utf8.count > maximumPrefixBytes || !prefix.hasNoControlCharacters {
            found.flaws.append(
                ".user_prefix must have at most \(maximumPrefixBytes) bytes and no control "
                    + "characters")
        }
        if entry.audience.all.isEmpty { found.flaws.append(".audience is empty") }
        let refresh = entry.refreshSeconds ?? defaultRefreshSeconds
        if !refreshBounds.contains(refresh) {
            found.flaws.append(
                ".refresh_seconds must be \(refreshBounds.lowerBound) to "
                    + "\(refreshBounds.upperBound), not \(refresh)")
        }
        if entry.roles != nil, entry.rolesClaim == nil {
            found.flaws.append(".roles needs roles_claim, which says where they are")
        }
        for role in entry.roles?.all ?? [] where !isRoleName(role) {
            found.flaws.append(
                ".roles: \"\(role)\" is not a role: letters, digits, . _ : and -, at most 63")
        }
        let name = found.keep { () throws(IssuerFlaw) -> String in try Self.name(of: entry) }
        let keys = found.keep { () throws(IssuerFlaw) -> IssuerSettings.Keys in
            try Self.keys(of: entry)
        }
        let algorithms = found.keep { () throws(IssuerFlaw) -> Set<TokenAlgorithm> in
            try Self.algorithms(of: entry)
        }
        let user = found.keep { () throws(IssuerFlaw) -> ClaimPath in
            try path(entry.userClaim, ".user_claim") ?? ClaimPath(name: "sub")
        }
        let device = found.keep { () throws(IssuerFlaw) -> IssuerSettings.Device in
            try Self.device(of: entry)
        }
        let roles = found.keep { () throws(IssuerFlaw) -> ClaimPath? in
            try path(entry.rolesClaim, ".roles_claim")
        }
        guard let name, let keys, let algorithms, let user, let device, let roles else {
            return nil
        }
        return IssuerSettings(
            name: name, issuer: entry.issuer, keys: keys, audience: Set(entry.audience.all),
            algorithms: algorithms, user: user, userPrefix: prefix,
            sharesUsers: entry.sharedUsers ?? false, device: device, roles: roles,
            knownRoles: entry.roles.map { Set($0.all) }, refreshSeconds: refresh)
    }

    private static func name(of entry: Entry) throws(IssuerFlaw) -> String {
        guard let name = entry.name ?? URLComponents(string: entry.issuer)?.host else {
            throw IssuerFlaw(
                ".name is missing, and issuer is not a URL whose host could stand for it")
        }
        guard isRoleName(name), !reservedNames.contains(name) else {
            throw IssuerFlaw(
                ".name must have 1 to 63 letters, digits, . _ : or -, and not be one of "
                    + "\(reservedNames.sorted())")
        }
        return name
    }

    private static func keys(of entry: Entry) throws(IssuerFlaw) -> IssuerSettings.Keys {
        switch (entry.jwksURL, entry.jwksFile) {
        case (nil, nil), (_?, _?): throw IssuerFlaw(" must have either jwks_url or jwks_file")
        case (nil, let file?):
            guard entry.caFile == nil else { throw IssuerFlaw(".ca_file needs jwks_url") }
            return .file(file)
        case (let url?, nil):
            try KeyDownload.check(url)
            return .url(url, authority: entry.caFile)
        }
    }

    private static func algorithms(of entry: Entry) throws(IssuerFlaw) -> Set<TokenAlgorithm> {
        guard let names = entry.algorithms?.all else { return Set(TokenAlgorithm.allCases) }
        var algorithms: Set<TokenAlgorithm> = []
        for name in names {
            guard let algorithm = TokenAlgorithm(rawValue: name) else {
                let known = TokenAlgorithm.allCases.map(\.rawValue).joined(separator: ", ")
                throw IssuerFlaw(".algorithms: \"\(name)\" is not one of \(known)")
            }
            algorithms.insert(algorithm)
        }
        guard !algorithms.isEmpty else { throw IssuerFlaw(".algorithms is empty") }
        return algorithms
    }

    private static func device(of entry: Entry) throws(IssuerFlaw) -> IssuerSettings.Device {
        guard entry.deviceHeader == true else {
            return .claim(try path(entry.deviceClaim, ".device_claim") ?? ClaimPath(name: "did"))
        }
        guard entry.deviceClaim == nil else {
            throw IssuerFlaw(" must have either device_claim or device_header")
        }
        return .header
    }

    private static func path(
        _ texts: Texts?, _ key: String
    ) throws(IssuerFlaw) -> ClaimPath? {
        guard let texts else { return nil }
        guard let path = texts.path else {
            throw IssuerFlaw("\(key) must name a claim, such as sub, realm_access.roles or [a, b]")
        }
        return path
    }

    private static func check(_ text: String, _ key: String) throws(IssuerFlaw) {
        guard (1...maximumTextBytes).contains(text.utf8.count), text.hasNoControlCharacters else {
            throw IssuerFlaw(
                "\(key) must have 1 to \(maximumTextBytes) bytes and no control characters")
        }
    }

    /// What keeps two issuers apart: who is who must follow from the tokens alone.
    private static func clash(
        of issuer: IssuerSettings, with other: IssuerSettings
    ) -> String? {
        if issuer.issuer == other.issuer { return ".issuer is also that of \(other.name)" }
        if issuer.name == other.name {
            return ".name is also that of another issuer: \(other.name)"
        }
        let (own, others) = (issuer.userPrefix, other.userPrefix)
        if own == others {
            guard !issuer.sharesUsers || !other.sharesUsers else { return nil }
            return
                ".user_prefix: users of \(issuer.name) and \(other.name) could have the same ids; "
                + "give each a prefix, or set shared_users: true for both if they name the same "
                + "people by the same ids"
        }
        // By bytes, as users are compared.
        guard own.utf8.starts(with: others.utf8) || others.utf8.starts(with: own.utf8) else {
            return nil
        }
        return
            ".user_prefix: the prefixes of \(issuer.name) and \(other.name) must not begin with "
            + "one another"
    }
}

/// What is wrong with a description of issuers, in words that follow the setting's name.
struct IssuerFlaw: Error, Hashable, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
