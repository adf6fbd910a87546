import Model
import Postgres
import Sidecar

/// The statements that read what an upload's decision needs of its changes and their rows.
extension UploadStatements {
    /// Devices count upwards: an id above the highest one known needs no look-up of its own. An id
    /// that is used again and again has any number of changes: only those with the content (`$5`)
    /// or the key (`$6`) of a change at hand matter. Nothing repeats those as often as the LIMIT
    /// says.
    struct ReadKnownChanges: TypedStatement {
        static let statement = Statement(
            name: "upload_read_known",
            sql: """
                SELECT l.source_change_id, l.seq, l.version, l.content_hash
                FROM sync.source d
                CROSS JOIN LATERAL (
                    SELECT m.source_change_id AS id FROM sync.change_log m
                    WHERE m.scope_id = $1 AND m.source_no = d.source_no
                    ORDER BY m.scope_id DESC, m.source_no DESC, m.source_change_id DESC LIMIT 1
                ) AS highest
                JOIN unnest($4::int8[]) AS k(id) ON k.id <= highest.id
                CROSS JOIN LATERAL (
                    SELECT e.source_change_id, e.seq, e.version, e.content_hash
                    FROM sync.change_log e
                    WHERE e.scope_id = $1 AND e.source_no = d.source_no
                        AND e.source_change_id = k.id
                        AND (e.content_hash IN (SELECT unnest($5::int8[]))
                            OR e.key IN (SELECT unnest($6::bytea[])))
                    LIMIT 1000000
                ) AS l
                WHERE d.scope_id = $1 AND d.device = $3 AND \(NamedScope.isUsers)
                ORDER BY l.seq
                """,
            parameters: [.int8, .text, .text, .int8Array, .int8Array, .byteaArray])

        let scope: NamedScope
        let device: DeviceID
        let changes: [Change]

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
            bindings.bind(device.value)
            // Each once: a client may give all of its changes one id.
            let distinct = Set(changes.map(\.id))
            var ids = ArrayBinding(of: .int8, reserving: distinct.count)
            for id in distinct { ids.append(id) }
            var hashes = ArrayBinding(of: .int8, reserving: changes.count)
            var keys = ArrayBinding(of: .bytea, reserving: changes.count, bytes: changes.count * 20)
            for change in changes {
                hashes.append(change.contentHash)
                change.row.key.withStoredBytes { keys.append(bytes: $0) }
            }
            bindings.bind(ids)
            bindings.bind(hashes)
            bindings.bind(keys)
        }

        static func row(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> (id: ChangeID, change: KnownChange) {
            (
                try columns.next(Int64.self),
                KnownChange(
                    sequence: try columns.next(Int64.self), version: try columns.next(Int64.self),
                    contentHash: try columns.next(Int64.self))
            )
        }
    }

    /// The rows concerned; with what made them so where the device's base is not their version,
    /// since only then can the answer be a conflict that shows it. A payload that is large, or may
    /// be once it is unpacked, is left to ``ReadPayloads``.
    struct ReadRowStates: TypedStatement {
        /// Bytes of a stored payload up to which it comes with the other rows.
        private static let smallPayloadBytes = 512

        static let statement = Statement(
            name: "upload_read_rows",
            sql: """
                SELECT k.n::int8, r.version, r.seq, r.deleted, r.counted_bytes::int8,
                    l.seq IS NOT NULL,
                    CASE WHEN pg_column_size(l.payload) <= \(smallPayloadBytes)
                        THEN l.payload END,
                    d.device, l.source_change_id, l.ts AT TIME ZONE 'UTC'
                FROM unnest($3::int2[], $4::bytea[], $5::int8[])
                    WITH ORDINALITY AS k(table_id, key, base, n)
                CROSS JOIN LATERAL (
                    SELECT s.version, s.seq, s.deleted, s.counted_bytes FROM sync.row_state s
                    WHERE s.scope_id = $1 AND s.table_id = k.table_id AND s.key = k.key
                    LIMIT 1
                ) AS r
                LEFT JOIN LATERAL (
                    SELECT * FROM sync.change_log e
                    WHERE e.scope_id = $1 AND e.seq = r.seq AND r.version <> k.base
                    LIMIT 1
                ) AS l ON true
                LEFT JOIN LATERAL (
                    SELECT e.device FROM sync.source e
                    WHERE e.scope_id = $1 AND e.source_no = l.source_no
                    LIMIT 1
                ) AS d ON true
                WHERE \(NamedScope.isUsers)
                """,
            parameters: [.int8, .text, .int2Array, .byteaArray, .int8Array])

        let scope: NamedScope
        let changes: [Change]

        struct Row {
            /// Which of the changes it was read for, from 1.
            let place: Int64
            let version: RowVersion
            let sequence: Sequence64
            let isDeleted: Bool
            /// See ``RowFact/countedBytes``.
            let countedBytes: Int64?
            /// Nil where the change is based on this version.
            let writer: Writer?
        }

        /// The change that made a row so.
        struct Writer {
            /// JSON in the result's memory; nil for a delete, and where it is left out.
            let payload: UnsafeRawBufferPointer?
            /// Nil if the change came from no device.
            let device: String?
            let changeID: ChangeID
            /// PostgreSQL's text of a time in UTC.
            let time: String
        }

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
            var tables = ArrayBinding(of: .int2, reserving: changes.count)
            var keys = ArrayBinding(of: .bytea, reserving: changes.count, bytes: changes.count * 20)
            var bases = ArrayBinding(of: .int8, reserving: changes.count)
            for change in changes {
                tables.append(change.row.table)
                change.row.key.withStoredBytes { keys.append(bytes: $0) }
                bases.append(change.base)
            }
            bindings.bind(tables)
            bindings.bind(keys)
            bindings.bind(bases)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(
                place: try columns.next(Int64.self), version: try columns.next(Int64.self),
                sequence: try columns.next(Int64.self), isDeleted: try columns.next(Bool.self),
                countedBytes: try columns.next(Int64?.self), writer: try writer(&columns))
        }

        private static func writer(
            _ columns: inout RowColumns
        ) throws(PostgresError) -> Writer? {
            guard try columns.next(Bool.self) else {
                columns.skipRest()
                return nil
            }
            return Writer(
                payload: try columns.nextUnsafeBytes(), device: try columns.next(String?.self),
                changeID: try columns.next(Int64.self), time: try columns.next(String.self))
        }
    }

    /// The payloads of some of the user's changes, in the order given, as far as one answer has
    /// room for them; the first one in any case that devices can take.
    struct ReadPayloads: TypedStatement {
        static let statement = Statement(
            name: "upload_read_payloads",
            sql: """
                SELECT n::int8, payload FROM (
                    SELECT k.n, l.payload, octet_length(l.payload::text) AS bytes,
                        sum(octet_length(l.payload::text)) OVER (ORDER BY k.n) AS total
                    FROM unnest($3::int8[]) WITH ORDINALITY AS k(seq, n)
                    CROSS JOIN LATERAL (
                        SELECT e.payload FROM sync.change_log e
                        WHERE e.scope_id = $1 AND e.seq = k.seq
                        LIMIT 1
                    ) AS l
                    WHERE \(NamedScope.isUsers)
                ) AS p
                WHERE total <= \(WireLimits.payloadBytesPerAnswer)
                    OR total = bytes AND bytes <= \(WireLimits.largestRowBytes)
                """,
            parameters: [.int8, .text, .int8Array])

        let scope: NamedScope
        let sequences: [Sequence64]

        struct Row {
            /// Which of the sequences it belongs to, from 1.
            let place: Int64
            /// JSON in the result's memory.
            let payload: UnsafeRawBufferPointer?
        }

        func bind(to bindings: inout Bindings) {
            scope.bind(to: &bindings)
            var array = ArrayBinding(of: .int8, reserving: sequences.count)
            for sequence in sequences { array.append(sequence) }
            bindings.bind(array)
        }

        static func row(_ columns: inout RowColumns) throws(PostgresError) -> Row {
            Row(place: try columns.next(Int64.self), payload: try columns.nextUnsafeBytes())
        }

        /// The payloads that were answered, by sequence.
        func payloads(
            _ answer: Rows<Row>
        ) throws(PostgresError) -> [Sequence64: [UInt8]] {
            defer { withExtendedLifetime(answer) {} }
            var payloads: [Sequence64: [UInt8]] = [:]
            var rows = answer
            while let row = try rows.next() {
                guard let payload = row.payload, sequences.indices ~= Int(row.place) - 1 else {
                    continue
                }
                payloads[sequences[Int(row.place) - 1]] = Array(payload)
            }
            return payloads
        }
    }
}
