import Foundation
import Model
import Sidecar
import Tokens
import Yams

/// Reads the file of back ends that may ask for tokens (`OVERSYNC_AUTH_CLIENTS_FILE`).
enum ClientFile {
    /// Most clients of one file.
    static let maximumClients = 1000
    /// Most patterns of one client.
    static let maximumNames = 100
    /// Most roles of one client: gateways take no token with more.
    static let maximumRoles = 64
    /// What stands before a client in an error text.
    private static let section = "clients"

    static let clientKeys: Set<String> = [
        "id", "secret_sha256", "certificate", "users", "devices", "roles", "max_lifetime_seconds",
    ]

    private struct File: Decodable {
        let clients: [Entry]
    }

    private struct Entry: Decodable {
        let id: String
        let secrets: [String]?
        let certificates: [String]?
        let users: [String]
        let devices: [String]?
        let roles: [String]?
        let maximumLifetime: Int?

        enum CodingKeys: String, CodingKey {
            case id
            case secrets = "secret_sha256"
            case certificates = "certificate"
            case users, devices, roles
            case maximumLifetime = "max_lifetime_seconds"
        }
    }

    /// What is wrong with a file, in words that follow the setting's name.
    struct Problem: Error, Hashable, CustomStringConvertible {
        let description: String

        init(_ description: String) { self.description = description }
    }

    /// - Parameter lifetime: the longest of a client that names none, in seconds.
    /// - Throws: `Problem` with the first of what is wrong.
    static func parse(
        _ yaml: String, lifetime: Int
    ) throws(Problem) -> [String: TokenClient] {
        let (clients, problems) = read(yaml, lifetime: lifetime)
        if let first = problems.first { throw first }
        return clients
    }

    /// - Returns: the clients that can be used, and all that is wrong: the first of each client.
    static func read(
        _ yaml: String, lifetime: Int
    ) -> (clients: [String: TokenClient], problems: [Problem]) {
        var document: Node?
        var problems: [Problem] = []
        let file: File
        do {
            document = try Yams.compose(yaml: yaml)
            problems = document.map(unknownKeys(in:)) ?? []
            file = try YAMLDecoder().decode(File.self, from: yaml)
        } catch {
            // The error itself may quote the text, which nobody is to read in a log.
            let words = YAMLTrouble.text(error, in: document)
            return ([:], problems + [Problem("is not the YAML of clients: \(words)")])
        }
        guard file.clients.count <= maximumClients else {
            return ([:], problems + [Problem("names more than \(maximumClients) clients")])
        }
        var clients: [String: TokenClient] = [:]
        for (index, entry) in file.clients.enumerated() {
            do throws(Problem) {
                let client = try client(entry, at: "\(section)[\(index)]", lifetime: lifetime)
                guard clients.updateValue(client, forKey: client.id) == nil else {
                    throw Problem("\(section)[\(index)].id: \(client.id) is listed twice")
                }
            } catch {
                problems.append(error)
            }
        }
        return (clients, problems)
    }

    private static func client(
        _ entry: Entry, at place: String, lifetime: Int
    ) throws(Problem) -> TokenClient {
        guard isClientID(entry.id) else {
            throw Problem("\(place).id: must have 1 to 63 letters, digits, . _ or -")
        }
        let secrets = entry.secrets ?? []
        // A client without a secret has a certificate.
        let leastSecrets = entry.secrets == nil && entry.certificates != nil ? 0 : 1
        guard (leastSecrets...TokenClient.maximumSecrets).contains(secrets.count),
            secrets.allSatisfy({ $0.wholeMatch(of: /[0-9a-f]{64}/) != nil })
        else {
            throw Problem(
                "\(place).secret_sha256: must list one or two hashes of 64 digits 0-9 a-f, as "
                    + "oversync clients new prints them")
        }
        for role in entry.roles ?? [] where !isRoleName(role) {
            throw Problem("\(place).roles: a role must have 1 to 63 letters, digits, . _ : or -")
        }
        let longest = entry.maximumLifetime ?? lifetime
        guard (1...TokenMint.maximumLifetimeSeconds).contains(longest) else {
            throw Problem(
                "\(place).max_lifetime_seconds: must be 1 to \(TokenMint.maximumLifetimeSeconds)")
        }
        guard (entry.roles ?? []).count <= maximumRoles else {
            throw Problem("\(place).roles: at most \(maximumRoles)")
        }
        return TokenClient(
            id: entry.id, secretHashes: secrets,
            certificates: try certificates(entry.certificates, "\(place).certificate"),
            users: try patterns(entry.users, "\(place).users"),
            devices: try patterns(entry.devices ?? ["*"], "\(place).devices"),
            roles: Set(entry.roles ?? []), maximumLifetime: longest)
    }

    private static func certificates(
        _ names: [String]?, _ place: String
    ) throws(Problem) -> Set<String> {
        guard let names else { return [] }
        guard (1...maximumNames).contains(names.count),
            names.allSatisfy({
                $0.wholeMatch(of: /(dns|uri|subject):.+/) != nil
                    && $0.utf8.count <= WireLimits.maximumIdentityBytes
            })
        else {
            throw Problem(
                "\(place): must list 1 to \(maximumNames) names of at most "
                    + "\(WireLimits.maximumIdentityBytes) bytes, such as dns:jobs.example.org, "
                    + "uri:spiffe://example.org/jobs or subject:CN=jobs")
        }
        return Set(names)
    }

    private static func patterns(
        _ texts: [String], _ place: String
    ) throws(Problem) -> [NamePattern] {
        guard (1...maximumNames).contains(texts.count),
            texts.allSatisfy({
                (1...WireLimits.maximumIdentityBytes).contains($0.utf8.count)
            })
        else {
            throw Problem(
                "\(place): must list 1 to \(maximumNames) patterns of at most "
                    + "\(WireLimits.maximumIdentityBytes) bytes")
        }
        return texts.map(NamePattern.init)
    }

    /// A misspelt key must not be ignored in silence: it would widen what a client may ask for.
    private static func unknownKeys(in document: Node) -> [Problem] {
        guard let root = document.mapping else { return [] }
        var problems = unknownKeys(of: document, known: [section], at: "")
        for (index, entry) in (root[section]?.sequence ?? []).enumerated() {
            problems += unknownKeys(of: entry, known: clientKeys, at: "\(section)[\(index)] ")
        }
        return problems
    }

    private static func unknownKeys(
        of entry: Node, known: Set<String>, at place: String
    ) -> [Problem] {
        (entry.mapping.map { Array($0.keys) } ?? []).compactMap { key in
            guard let name = key.string, !known.contains(name) else { return nil }
            let line = key.mark.map { " in line \($0.line)" } ?? ""
            return Problem(
                "\(place)has the unknown key \(printable(name))\(line); known: "
                    + known.sorted().joined(separator: ", "))
        }
    }
}
