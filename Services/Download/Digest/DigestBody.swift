import Model
import NIOCore
import Postgres
import Sidecar
import WireJSON

/// A digest as the wire has it.
struct DigestBody {
    private var buffer = ByteBuffer()

    /// - Parameter head: the last sequence of the log that was summed.
    init(head: Sequence64) {
        buffer.append(literal: "{\"head\":")
        buffer.append(integer: head)
    }

    /// The sums of tables.
    mutating func append(tables: [RegisteredTable], _ totals: [TableID: DigestTotal]) {
        buffer.append(literal: ",\"digests\":[")
        for (index, table) in tables.enumerated() {
            if index > 0 { buffer.append(literal: ",") }
            let total = totals[table.id] ?? DigestTotal()
            buffer.append(literal: "{\"schema\":")
            buffer.append(jsonString: table.name.schema)
            buffer.append(literal: ",\"table\":")
            buffer.append(jsonString: table.name.table)
            buffer.append(literal: ",\"live\":")
            buffer.append(integer: total.live)
            buffer.append(literal: ",\"sum\":")
            buffer.append(integer: total.sum)
            buffer.append(literal: "}")
        }
        buffer.append(literal: "]")
    }

    /// The sums of all parts of a table, in their order: pairs of a count and a sum.
    mutating func append(buckets totals: [DigestTotal]) {
        buffer.append(literal: ",\"buckets\":[")
        for (index, total) in totals.enumerated() {
            buffer.append(literal: index > 0 ? ",[" : "[")
            buffer.append(integer: total.live)
            buffer.append(literal: ",")
            buffer.append(integer: total.sum)
            buffer.append(literal: "]")
        }
        buffer.append(literal: "]")
    }

    /// - Throws: `PostgresError` for a key that is none, as SQL by hand can leave it.
    mutating func append(
        rows: [DownloadStatements.ReadTerms.Row], _ kind: KeyKind
    ) throws(PostgresError) {
        buffer.append(literal: ",\"rows\":[")
        for (index, row) in rows.enumerated() {
            let key = row.key.withUnsafeBufferPointer { RowKey(stored: $0, kind: kind) }
            guard let key else {
                throw PostgresError(.decoding("the key of a row: no \(kind.rawValue)"))
            }
            buffer.append(literal: index > 0 ? ",{\"pk\":" : "{\"pk\":")
            buffer.append(jsonString: key.text)
            buffer.append(literal: ",\"server_version\":")
            buffer.append(integer: row.version)
            buffer.append(literal: ",\"term\":")
            if let term = row.term {
                buffer.append(integer: term)
            } else {
                buffer.append(literal: "null")
            }
            buffer.append(literal: "}")
        }
        buffer.append(literal: "]")
    }

    consuming func finished() -> ByteBuffer {
        buffer.append(literal: "}\n")
        return buffer
    }
}
