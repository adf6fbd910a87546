import Model
import Postgres
import Sidecar

extension UploadTransaction {
    /// Records which changes an atomic upload made, after all of its writes; nothing for others.
    ///
    /// The upload locks the user's log until it commits. So everything that the log has gained
    /// since the reading is the upload's, also what triggers and foreign keys changed.
    func atomicRecord(
        _ scope: NamedScope, _ source: Int32, after reading: UploadReading
    ) -> [Command] {
        guard options.isAtomic else { return [] }
        var bindings = Bindings()
        scope.bind(to: &bindings)
        bindings.bind(reading.lastSequence + 1)
        bindings.bind(source)
        return [Command(UploadStatements.recordAtomicUpload, bindings)]
    }
}
