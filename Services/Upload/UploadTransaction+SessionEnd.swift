import Postgres

extension UploadTransaction {
    /// Runs what writes the whole batch. PostgreSQL may notice the end of its session first at the
    /// statement after the one that has caused it, so it counts wherever it comes.
    ///
    /// - Throws: `SessionEnd` if PostgreSQL's session ends with it.
    func writeBatch(_ pipeline: Pipeline) async throws -> PipelineResults {
        do {
            return try await run(pipeline)
        } catch {
            guard error.endsSession else { throw error }
            let changes = batch.changes
            throw SessionEnd(
                range: changes.indices, tables: changes.map(\.table), middle: changes.count / 2)
        }
    }
}
