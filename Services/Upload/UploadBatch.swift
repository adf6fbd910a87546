import Model
import NIOCore

/// A request that was read and judged change by change: the rest is for the plan and the database.
struct UploadBatch: Sendable {
    /// The most different names in the payloads of one upload that are not columns: each is looked
    /// up again after the writes.
    static let maximumUnknownNames = 10_000

    let schema: UploadSchema
    /// The bytes of the changes' payloads. A change has the place of its payload in them.
    let body: ByteBuffer
    /// Changes in the request, refused ones included.
    let count: Int
    /// Those that are well formed, in the order in which they take effect.
    let changes: [Change]
    /// Those that are not, by their place in the request.
    let rejected: [(index: Int, rejection: Rejection)]

    /// Reads and judges a body.
    ///
    /// - Parameter author: on whose behalf.
    init(
        _ body: ByteBuffer, format: BodyFormat = .json, author: ChangeAuthor,
        schema: UploadSchema, limits: WireLimits
    ) throws(UndecodableUpload) {
        switch format {
        case .json:
            let changes = try body.withBytes { bytes throws(UndecodableUpload) in
                try UploadDecoder.decode(bytes)
            }
            self.init(changes, payloads: body, author: author, schema: schema, limits: limits)
        case .protobuf:
            let (changes, payloads) = try ProtobufUploadDecoder.decode(body)
            self.init(changes, payloads: payloads, author: author, schema: schema, limits: limits)
        }
    }

    /// Judges changes that were read.
    ///
    /// - Parameters:
    ///   - payloads: the bytes of the changes' payloads.
    ///   - author: on whose behalf.
    ///   - contentHash: of what the devices sent, if `payloads` has only what was kept of it.
    init(
        _ wire: [WireChange], payloads: ByteBuffer, author: ChangeAuthor, schema: UploadSchema,
        limits: WireLimits, contentHash: Int64? = nil
    ) {
        self.schema = schema
        let verdicts = payloads.withBytes { bytes in
            guard wire.count <= limits.changesPerUpload else {
                let rejection = Rejection.batchTooLarge(
                    changes: wire.count, limit: limits.changesPerUpload)
                return wire.map { _ in ChangeValidation.Verdict.rejected(rejection) }
            }
            var validation = ChangeValidation(
                schema: schema, limits: limits, author: author, body: bytes)
            return wire.indices.map { validation.judge(wire[$0], at: $0) }
        }
        count = wire.count
        changeIDs = wire.map(\.id)
        var body = payloads
        var valid: [Change] = []
        valid.reserveCapacity(wire.count)
        var rejected: [(Int, Rejection)] = []
        var names = UnknownNames(limit: Self.maximumUnknownNames)
        for (index, verdict) in verdicts.enumerated() {
            switch verdict {
            case .valid(let change):
                guard names.admit(change.strangers, of: change.table) else {
                    rejected.append((index, .tooManyUnknownNames(limit: Self.maximumUnknownNames)))
                    continue
                }
                let sent = contentHash.map(change.with(contentHash:)) ?? change
                valid.append(
                    sent.isReduced ? sent.reduced(in: &body, schema, author.roles) : sent)
            case .rejected(let rejection): rejected.append((index, rejection))
            }
        }
        changes = ProcessingOrder.of(valid, in: schema)
        self.rejected = rejected
        self.body = body
    }

    /// Whether triggers of the team's may run when it is written.
    var mayRunTriggers: Bool {
        changes.contains {
            schema.tables[$0.table].mayRunTriggers(isDelete: $0.operation == .delete)
        }
    }

    /// It has rows of a table that was not there when the catalog was read.
    var concernsGoneTables: Bool {
        !schema.gone.isEmpty && changes.contains { schema.gone.contains($0.table) }
    }

    /// Some rows are refused before PostgreSQL is asked: for a null (``Change/refusedNull``), or
    /// because their table is none any more.
    var hasRefusedRows: Bool {
        changes.contains { $0.refusedNull != nil }
            || concernsGoneTables
    }

    /// The change ids in the order of the request.
    let changeIDs: [ChangeID]

    /// The plan before anything is decided but the refusals.
    ///
    /// - Parameter quotas: what the user may have.
    func plan(
        _ reading: UploadReading, device: DeviceID, quotas: Quotas? = nil,
        now: @escaping @Sendable () -> String
    ) -> UploadPlan {
        let writer = UploadRequest { [changes, body] position in
            let change = changes[position]
            return StoredWriter(
                payload: change.payload.map { range in body.withBytes { Array($0[range]) } },
                device: device.value, changeID: change.id, timestamp: now())
        }
        var plan = UploadPlan(
            schema: schema, request: writer, reading: reading, quotas: quotas, count: count)
        for (index, rejection) in rejected { plan.conclude(index, as: .invalid(rejection)) }
        return plan
    }
}

extension Change {
    /// The change with what it may write as its payload, which is put after the others in the
    /// body.
    fileprivate func reduced(
        in body: inout ByteBuffer, _ schema: UploadSchema, _ roles: Set<String>
    ) -> Change {
        guard let payload else { return self }
        let written = body.withBytes { bytes in
            PayloadShape.written(
                UnsafeBufferPointer(rebasing: bytes[payload]), of: schema.tables[table],
                roles: roles)
        }
        let start = body.readableBytes
        body.writeBytes(written)
        return with(payload: start..<body.readableBytes)
    }
}

/// Counts the names of a batch that are no columns, each table's once.
private struct UnknownNames {
    let limit: Int
    private var seen: [Int: Set<String>] = [:]
    private var count = 0

    init(limit: Int) { self.limit = limit }

    /// - Returns: false, and forgets them, if there are too many with these.
    mutating func admit(_ names: [String], of table: Int) -> Bool {
        guard !names.isEmpty else { return true }
        let new = Set(names).subtracting(seen[table] ?? [])
        guard count + new.count <= limit else { return false }
        count += new.count
        seen[table, default: []].formUnion(new)
        return true
    }
}

extension Rejection {
    fileprivate static func tooManyUnknownNames(limit: Int) -> Rejection {
        .badPayload(
            "bad_payload: the upload's payloads have more than \(limit) different members "
                + "that are no columns; send fewer changes at once, or leave them out"
        )
    }
}

extension ByteBuffer {
    /// Calls `body` with the readable bytes.
    func withBytes<R, Failure: Error>(
        _ body: (UnsafeBufferPointer<UInt8>) throws(Failure) -> R
    ) throws(Failure) -> R {
        let result: Result<R, Failure> = withUnsafeReadableBytes { raw in
            do throws(Failure) {
                return .success(try body(raw.bindMemory(to: UInt8.self)))
            } catch {
                return .failure(error)
            }
        }
        return try result.get()
    }
}
