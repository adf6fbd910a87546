import Model
import Postgres
import Sidecar

/// Where the rows of an attempt stand in an index, as PostgreSQL had them at one moment.
struct IndexPlaces: Sendable {
    let index: UniqueIndex
    private var places: [RowID: String] = [:]

    /// Reads them with the pipeline that this is added to.
    static func add(
        _ index: UniqueIndex, _ rows: [RowID], in schema: UploadSchema, to pipeline: inout Pipeline
    ) -> Ticket<(key: String, place: String?)> {
        let table = schema.tables[index.table].registered
        let command = Command(
            ParkStatement.places(in: index, of: table),
            ParkStatement.bindings(rows.map(\.key), index.scope, of: table))
        return pipeline.add(command) { columns throws(PostgresError) in
            (try columns.next(String.self), try columns.next(String?.self))
        }
    }

    init(
        _ index: UniqueIndex, _ rows: [RowID], _ answer: Rows<(key: String, place: String?)>
    ) throws(PostgresError) {
        self.index = index
        let byText = Dictionary(
            rows.map { ($0.key.text, $0) }, uniquingKeysWith: { first, _ in first })
        var answer = answer
        while let (key, place) = try answer.next() {
            if let row = byText[key], let place { places[row] = place }
        }
    }

    subscript(row: RowID) -> String? { places[row] }

    /// Whether every one of these rows has left its place for one that no other of them had.
    func areLeft(_ rows: [RowID], in later: IndexPlaces) -> Bool {
        let taken = Set(places.values)
        return rows.allSatisfy { row in later[row].map { !taken.contains($0) } ?? true }
    }

    /// The rows that took the places of others: each with the one that had it.
    func successions(in later: IndexPlaces) -> [(row: RowID, holder: RowID)] {
        let holders = Dictionary(
            places.map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        return later.places.compactMap { row, place in
            holders[place].flatMap { $0 == row ? nil : (row, $0) }
        }
    }
}
