import Foundation
import Model
import Yams

/// What `oversync.yaml` says of one table.
package struct TableRegistration: Hashable, Sendable {
    package let name: TableName
    package let mode: TableMode
    /// Nil: the column of the primary key that is not the owner.
    package let key: String?
    /// Nil: from the key column's type.
    package let keyKind: KeyKind?
    package let owner: String?
    package let access: TableAccess
    package let withheld: WithheldColumns
    /// Its row-level security policies decide about uploads.
    package let rowSecurity: Bool

    package init(
        name: TableName, mode: TableMode = .table, key: String? = nil, keyKind: KeyKind? = nil,
        owner: String? = nil, access: TableAccess = .everybody,
        withheld: WithheldColumns = .none, rowSecurity: Bool = false
    ) {
        self.name = name
        self.mode = mode
        self.key = key
        self.keyKind = keyKind
        self.owner = owner
        self.access = access
        self.withheld = withheld
        self.rowSecurity = rowSecurity
    }
}

/// A table that cannot be registered, or a file that cannot be read: what is wrong and where.
package struct RegistrationError: Error, Hashable, Sendable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }

    /// - Parameter problems: a line each.
    init(_ problems: [String]) {
        description = problems.joined(separator: "\n")
    }
}

/// Reads `oversync.yaml`.
package enum RegistrationFile {
    private struct File: Codable {
        let tables: [Entry]
    }

    private struct Entry: Codable {
        let table: String
        let mode: String?
        let key: String?
        let keyKind: String?
        let owner: String?
        let read: [GranteeEntry]?
        let write: [GranteeEntry]?
        let except: [String]?
        let readOnly: [String: [String]]?
        let rowSecurity: Bool?

        enum CodingKeys: String, CodingKey {
            case table, mode, key, owner, read, write, except
            case readOnly = "read_only"
            case rowSecurity = "row_security"
            case keyKind = "key_kind"
        }
    }

    /// A file that registers these tables as they are: reading it gives the same registrations.
    package static func text(of tables: [RegisteredTable]) throws -> String {
        let entries = tables.map { table in
            Entry(
                table: table.name.description,
                mode: table.mode == .table ? nil : table.mode.rawValue,
                key: table.keyColumn, keyKind: table.keyKind.rawValue, owner: table.ownerColumn,
                read: GranteeEntry.entries(of: table.access.readers),
                write: GranteeEntry.entries(of: table.access.writers),
                except: table.withheld.storedExcept,
                readOnly: table.withheld.readOnly.isEmpty
                    ? nil : table.withheld.readOnly.mapValues { $0.sorted() },
                rowSecurity: table.policies.isWanted ? true : nil)
        }
        return try YAMLEncoder().encode(File(tables: entries))
    }

    package static let fileKeys: Set<String> = ["tables"]
    /// Most bytes of a file: far more than thousands of tables need.
    private static let maximumBytes = 4 << 20
    /// What an operator should know of a file with an empty list.
    package static let noTables =
        "the file registers no tables: nothing syncs, and tables that were registered are removed"
    /// The keys of one table.
    package static let entryKeys: Set<String> = [
        "table", "mode", "key", "key_kind", "owner", "read", "write", "except", "read_only",
        "row_security",
    ]

    package static func read(path: String) throws(RegistrationError) -> [TableRegistration] {
        let bytes: Data
        do { bytes = try Data(contentsOf: URL(fileURLWithPath: path)) } catch {
            let reason =
                switch (error as? CocoaError)?.code {
                case .fileReadNoSuchFile?, .fileNoSuchFile?: ": there is no such file"
                case .fileReadNoPermission?: ": this user may not read it"
                default: ", or is no file"
                }
            throw RegistrationError("\(path) cannot be read\(reason)")
        }
        guard bytes.count <= maximumBytes else {
            throw RegistrationError(
                "\(path) is larger than \(maximumBytes) bytes, so it is no list of tables")
        }
        guard let text = String(bytes: bytes, encoding: .utf8) else {
            throw RegistrationError("\(path) is no text: write YAML in UTF-8")
        }
        return try parse(text, path: path)
    }

    /// - Throws: `RegistrationError` with all that is wrong, a line each; of a file whose text
    ///   cannot be read as tables at all, the first.
    package static func parse(
        _ yaml: String, path: String = "oversync.yaml"
    ) throws(RegistrationError) -> [TableRegistration] {
        let document = try document(of: yaml, path: path)
        var problems = unknownKeys(in: document, path: path)
        let file: File
        do {
            file = try YAMLDecoder().decode(File.self, from: yaml)
        } catch {
            problems.append("\(path): \(YAMLTrouble.text(error, in: document))")
            throw RegistrationError(problems)
        }
        var seen: Set<TableName> = []
        var registrations: [TableRegistration] = []
        for (index, entry) in file.tables.enumerated() {
            do throws(RegistrationError) {
                let place = Self.place(of: index, in: document, path: path)
                let registration = try registration(of: entry, at: place)
                registrations.append(registration)
                guard seen.insert(registration.name).inserted else {
                    throw RegistrationError("\(place).table: \(entry.table) is listed twice")
                }
            } catch {
                problems.append(error.description)
            }
        }
        guard problems.isEmpty else { throw RegistrationError(problems) }
        return registrations
    }

    private static func registration(
        of entry: Entry, at place: String
    ) throws(RegistrationError) -> TableRegistration {
        let parts = entry.table.split(separator: ".", omittingEmptySubsequences: false)
        let names = parts.count == 1 ? ["public", entry.table[...]] : parts
        guard names.count == 2, names.allSatisfy({ isWireIdentifier($0) }) else {
            throw RegistrationError(
                "\(place).table: \(entry.table.debugDescription) must be schema.table in lower-case "
                    + "letters, digits and _")
        }
        guard !isReserved(schema: names[0]) else {
            throw RegistrationError(
                "\(place).table: \(entry.table.debugDescription) is in a schema of PostgreSQL's or "
                    + "Oversync's own, whose tables cannot be registered")
        }
        guard let mode = TableMode(rawValue: entry.mode ?? TableMode.table.rawValue) else {
            throw RegistrationError(
                "\(place).mode: must be table or sidecar, not "
                    + (entry.mode ?? "").debugDescription)
        }
        let kind = entry.keyKind.map { KeyKind(rawValue: $0) }
        if case .some(.none) = kind {
            throw RegistrationError(
                "\(place).key_kind: must be uuid, text or integer, not "
                    + (entry.keyKind ?? "").debugDescription)
        }
        var readOnly: [String: Set<String>] = [:]
        for (column, names) in entry.readOnly ?? [:] {
            readOnly[column] = try GranteeEntry.roles(
                names, at: "\(place).read_only.\(column)",
                of: entry.table)
        }
        let withheld = WithheldColumns(except: Set(entry.except ?? []), readOnly: readOnly)
        guard mode == .table || withheld == .none else {
            throw RegistrationError(
                "\(place): except and read_only name columns, and mode: sidecar has none")
        }
        guard mode == .table || entry.rowSecurity != true else {
            throw RegistrationError(
                "\(place).row_security: mode: sidecar has no table with policies")
        }
        return TableRegistration(
            name: TableName(schema: String(names[0]), table: String(names[1])), mode: mode,
            key: entry.key,
            keyKind: kind ?? nil, owner: entry.owner,
            access: TableAccess(
                readers: try GranteeEntry.grantees(
                    entry.read, at: place + ".read", of: entry.table),
                writers: try GranteeEntry.grantees(
                    entry.write, at: place + ".write", of: entry.table)),
            withheld: withheld, rowSecurity: entry.rowSecurity ?? false)
    }

    /// Schemas whose tables are no team's. PostgreSQL keeps names that begin with `pg_` for itself.
    private static func isReserved(schema: Substring) -> Bool {
        schema.hasPrefix("pg_") || ["information_schema", "sync", "oversync_auth"].contains(schema)
    }

    private static func document(
        of yaml: String, path: String
    ) throws(RegistrationError) -> Node {
        do {
            if let document = try Yams.compose(yaml: yaml) { return document }
        } catch {
            throw RegistrationError("\(path): \(YAMLTrouble.text(error, in: nil))")
        }
        throw RegistrationError("\(path): tables is missing")
    }

    /// Where a table stands, such as `oversync.yaml: line 2: tables[0]`.
    private static func place(of index: Int, in root: Node, path: String) -> String {
        let mark = root.mapping?["tables"]?.sequence.flatMap { tables in
            tables.indices.contains(index) ? tables[index].mark : nil
        }
        return "\(path): " + (mark.map { "line \($0.line): " } ?? "") + "tables[\(index)]"
    }

    /// A misspelt key must not be ignored in silence: it would switch a protection off.
    private static func unknownKeys(in root: Node, path: String) -> [String] {
        var problems = unknownKeys(of: root, known: fileKeys, at: path)
        for (index, entry) in (root.mapping?["tables"]?.sequence ?? []).enumerated() {
            let place = place(of: index, in: root, path: path)
            problems += unknownKeys(of: entry, known: entryKeys, at: place)
            for list in ["read", "write"] {
                for grantee in entry.mapping?[list]?.sequence ?? [] {
                    problems += unknownKeys(
                        of: grantee, known: GranteeEntry.keys, at: "\(place).\(list)")
                }
            }
        }
        return problems
    }

    private static func unknownKeys(
        of entry: Node, known: Set<String>, at place: String
    ) -> [String] {
        var problems: [String] = []
        for key in entry.mapping.map({ Array($0.keys) }) ?? []
        where !known.contains(key.string ?? "") {
            let line = key.mark.map { ", in line \($0.line)" } ?? ""
            problems.append(
                "\(place): unknown key \((key.string ?? "").debugDescription)\(line); known: "
                    + known.sorted().joined(separator: ", "))
        }
        return problems
    }
}
