import Model
import NIOCore
import Protos
import Sidecar
import WireJSON

extension UploadBatch {
    /// A refused change, judged again by what its table is now.
    ///
    /// It was accepted when its device sent it, so it is judged with the roles that its own table
    /// requires, not with those of who retries it. If its device sends it again, the hash of what
    /// was sent shows that it is a repeat.
    init(retrying failure: RecordedFailure, schema: UploadSchema, limits: WireLimits) {
        let payload = ByteBuffer(string: failure.payload)
        let registered = schema.table(failure.table).map { schema.tables[$0].registered }
        self.init(
            [WireChange(failure)], payloads: payload,
            author: .retry(roles: registered?.namedRoles ?? []),
            schema: schema, limits: limits, contentHash: failure.contentHash)
    }
}

extension WireChange {
    /// The change as its device sent it, with its payload alone as the body.
    fileprivate init(_ failure: RecordedFailure) {
        id = failure.changeID
        schema = failure.table.schema
        table = failure.table.table
        operation = failure.operation
        key = failure.key
        base = max(failure.attemptedVersion, 1) - 1
        if !failure.payload.isEmpty {
            payload = JSONSlice(payload: Array(failure.payload.utf8), at: 0)
        }
    }
}

extension RegisteredTable {
    /// Every role that the table, or a column of it, is open to by name. What a column is closed to
    /// was left out before the failure was recorded.
    fileprivate var namedRoles: Set<String> {
        access.namedRoles.union(withheld.readOnly.values.joined())
    }
}
