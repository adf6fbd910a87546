import Foundation
import GRDB

/// Brings the ISO lists into a device's tables, as an app would: plain SQL in a few transactions.
struct Import {
    let codes: ISOCodes
    let database: DatabasePool

    /// Inserts what is not there yet.
    ///
    /// - Returns: rows inserted, by table.
    func run() throws -> [(table: String, rows: Int)] {
        [
            ("countries", try countries()), ("subdivisions", try subdivisions()),
            ("languages", try languages()), ("currencies", try currencies()),
        ]
    }

    private func countries() throws -> Int {
        try insert(
            into: "countries", ["id", "alpha_2", "alpha_3", "digits", "name", "official_name"],
            codes.countries
        ) {
            [UUID().uuidString, $0.alpha_2, $0.alpha_3, $0.numeric, $0.name, $0.official_name]
        }
    }

    private func subdivisions() throws -> Int {
        let countries = try ids("SELECT alpha_2, id FROM countries", String.self)
        let existing = try ids("SELECT code, id FROM subdivisions", Data.self)
        // Parents before children, because the device's foreign keys are checked at once.
        let byCode = Dictionary(uniqueKeysWithValues: codes.subdivisions.map { ($0.code, $0) })
        var keys = existing
        var ordered: [ISOCodes.Subdivision] = []
        func place(_ subdivision: ISOCodes.Subdivision) {
            guard keys[subdivision.code] == nil else { return }
            if let parent = subdivision.parentCode.flatMap({ byCode[$0] }),
                parent.code != subdivision.code
            {
                place(parent)
            }
            keys[subdivision.code] = UUID().data
            ordered.append(subdivision)
        }
        codes.subdivisions.forEach(place)
        let columns = ["id", "code", "name", "kind", "country_id", "parent_id"]
        return try insert(
            into: "subdivisions", columns, ordered.filter { countries[$0.country] != nil }
        ) { entry in
            [
                keys[entry.code], entry.code, entry.name, entry.type, countries[entry.country],
                entry.parentCode.flatMap { keys[$0] },
            ]
        }
    }

    private func languages() throws -> Int {
        try insert(into: "languages", ["id", "alpha_3", "name", "scope", "kind"], codes.languages) {
            [UUID().uuidString, $0.alpha_3, $0.name, $0.scope, $0.type]
        }
    }

    private func currencies() throws -> Int {
        try insert(into: "currencies", ["code", "name", "digits"], codes.currencies) {
            [$0.alpha_3, $0.name, $0.numeric]
        }
    }

    private func insert<Entry>(
        into table: String, _ columns: [String], _ entries: [Entry],
        _ values: (Entry) -> [(any DatabaseValueConvertible)?]
    ) throws -> Int {
        let marks = columns.map { _ in "?" }.joined(separator: ", ")
        let sql =
            "INSERT INTO \(table) (\(columns.joined(separator: ", "))) VALUES (\(marks)) ON CONFLICT DO NOTHING"
        return try database.write { db in
            let statement = try db.cachedStatement(sql: sql)
            return try entries.reduce(0) { count, entry in
                try statement.execute(arguments: StatementArguments(values(entry)))
                return count + db.changesCount
            }
        }
    }

    private func ids<Key: DatabaseValueConvertible>(_ sql: String, _ type: Key.Type) throws
        -> [String: Key]
    {
        try database.read { db in
            try Row.fetchAll(db, sql: sql).reduce(into: [:]) { ids, row in
                if let key: Key = row[1] { ids[row[0]] = key }
            }
        }
    }
}
