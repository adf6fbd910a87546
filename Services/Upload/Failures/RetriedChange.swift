import Model
import NIOCore
import Protos
import Sidecar
import WireJSON

extension UploadBatch {
    /// A refused change, judged again by what its table is now.
    ///
    /// It was let in when its device sent it. So it is judged with the roles that its own table
    /// asks for, whoever retries it. Should its device send it again, the hash of what it sent then
    /// tells that this is a repeat.
    init(retrying entry: FailureStore.Entry, schema: UploadSchema, limits: WireLimits) {
        let failure = entry.failure
        let payload = ByteBuffer(string: failure.payload)
        let table = TableName(schema: failure.schema, table: failure.table)
        let registered = schema.table(table).map { schema.tables[$0].registered }
        self.init(
            [WireChange(failure)], payloads: payload,
            author: .retry(roles: registered?.namedRoles ?? []),
            schema: schema, limits: limits, contentHash: entry.contentHash)
    }
}

extension WireChange {
    /// The change as its device sent it, with its payload alone as the body.
    fileprivate init(_ failure: MaterializeFailure) {
        id = failure.sourceChangeID
        schema = failure.schema
        table = failure.table
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
