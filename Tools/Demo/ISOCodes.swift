import Foundation
import OperatorKit

/// The ISO code lists as Debian's package `iso-codes` ships them.
struct ISOCodes: Sendable {
    struct Country: Decodable, Sendable {
        let alpha_2: String
        let alpha_3: String
        let numeric: String
        let name: String
        let official_name: String?
    }

    struct Subdivision: Decodable, Sendable {
        let code: String
        let name: String
        let type: String
        let parent: String?

        var country: String { String(code.prefix { $0 != "-" }) }

        /// The parent's whole code: the lists give it with or without the country.
        var parentCode: String? {
            parent.map { $0.contains("-") ? $0 : "\(country)-\($0)" }
        }
    }

    struct Language: Decodable, Sendable {
        let alpha_3: String
        let name: String
        let scope: String
        let type: String
    }

    struct Currency: Decodable, Sendable {
        let alpha_3: String
        let name: String
        let numeric: String
    }

    let countries: [Country]
    let subdivisions: [Subdivision]
    let languages: [Language]
    let currencies: [Currency]

    package static let folder = "/usr/share/iso-codes/json"

    init() throws {
        countries = try Self.read("iso_3166-1.json", "3166-1")
        subdivisions = try Self.read("iso_3166-2.json", "3166-2")
        languages = try Self.read("iso_639-3.json", "639-3")
        currencies = try Self.read("iso_4217.json", "4217")
    }

    private static func read<Entry: Decodable>(_ file: String, _ list: String) throws -> [Entry] {
        let path = "\(folder)/\(file)"
        guard let data = FileManager.default.contents(atPath: path) else {
            throw StackError(
                "\(path) is missing: install the package iso-codes (apt-get install iso-codes)")
        }
        guard let entries = try JSONDecoder().decode([String: [Entry]].self, from: data)[list]
        else {
            throw StackError("\(path) has no list \(list)")
        }
        return entries
    }
}
