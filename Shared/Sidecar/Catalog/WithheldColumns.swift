import Foundation
import Model

/// The columns of a business table that devices have no part in, or only look at.
package struct WithheldColumns: Hashable, Sendable {
    /// They stay on the server, for everybody: neither captured nor served, and what a device says
    /// of them is left out.
    package let except: Set<String>
    /// Devices see these and do not write them, unless their token has one of the roles.
    package let readOnly: [String: Set<String>]

    package static let none = WithheldColumns(except: [], readOnly: [:])

    package init(except: Set<String>, readOnly: [String: Set<String>]) {
        self.except = except
        self.readOnly = readOnly
    }

    /// Reads what `sync.catalog` has.
    ///
    /// - Parameters:
    ///   - except: an array of names as JSON; nil for none.
    ///   - readOnly: an object of arrays of roles as JSON; nil for none.
    init(except: String?, readOnly: String?) {
        let decoder = JSONDecoder()
        let names = except.flatMap { try? decoder.decode([String].self, from: Data($0.utf8)) }
        let roles = readOnly.flatMap {
            try? decoder.decode([String: Set<String>].self, from: Data($0.utf8))
        }
        self.init(except: Set(names ?? []), readOnly: roles ?? [:])
    }

    /// ``except`` as `sync.catalog` has it.
    var storedExcept: [String]? { except.isEmpty ? nil : except.sorted() }

    /// ``readOnly`` as `sync.catalog` has it: the same text for the same columns and roles.
    var storedReadOnly: String? {
        guard !readOnly.isEmpty else { return nil }
        let encoder = JSONEncoder()
        encoder.outputFormatting = .sortedKeys
        let data = try? encoder.encode(readOnly.mapValues { $0.sorted() })
        return data.map { String(decoding: $0, as: UTF8.self) }
    }

    /// What an operator should know of them, a line each.
    func remarks(of columns: [Column], of table: TableName) -> [String] {
        columns.filter {
            $0.isRequired && (except.contains($0.name) || readOnly[$0.name] != nil)
        }.map {
            "\(table): \($0.name) is NOT NULL without a DEFAULT, and devices do not write it: a "
                + "row that they create is refused unless a trigger fills it in"
        }
    }

    /// What keeps these columns from being withheld, a line each.
    func problems(
        in columns: [Column], of table: TableRegistration, key: String
    ) -> [String] {
        var problems: [String] = []
        for (option, names) in [("except", except), ("read_only", Set(readOnly.keys))] {
            for name in names.sorted() {
                if name == key || name == table.owner {
                    problems.append(
                        "\(table.name).\(option): \"\(name)\" is the key or the owner column")
                } else if !columns.contains(where: { $0.name == name }) {
                    problems.append("\(table.name).\(option): the table has no column \"\(name)\"")
                }
            }
        }
        for name in except.intersection(readOnly.keys).sorted() {
            problems.append(
                "\(table.name).read_only: \"\(name)\" stays on the server (except), so no device "
                    + "has it to read")
        }
        return problems
    }
}
