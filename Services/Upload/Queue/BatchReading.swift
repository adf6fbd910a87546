import Sidecar
import Synchronization

/// Reads and judges an upload's changes for a schema; once, unless the schema changes.
///
/// An upload is read while its user's upload before it is at the database, so that the database
/// does not wait for the reading.
final class BatchReading: Sendable {
    typealias Outcome = Result<UploadBatch, UndecodableUpload>

    private let make: @Sendable (UploadSchema) throws(UndecodableUpload) -> UploadBatch
    private let last = Mutex<(generation: UInt64, outcome: Outcome)?>(nil)

    init(_ make: @escaping @Sendable (UploadSchema) throws(UndecodableUpload) -> UploadBatch) {
        self.make = make
    }

    /// - Throws: `UndecodableUpload` if the body as a whole cannot be read.
    func batch(for schema: UploadSchema) throws(UndecodableUpload) -> UploadBatch {
        let generation = schema.catalog.generation
        if let last = last.withLock({ $0 }), last.generation == generation {
            return try last.outcome.get()
        }
        let outcome = Outcome { () throws(UndecodableUpload) in try make(schema) }
        last.withLock { $0 = (generation, outcome) }
        return try outcome.get()
    }
}
