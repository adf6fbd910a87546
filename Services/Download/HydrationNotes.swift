import Model
import Protos
import RPC

/// Where it is put on record that a device begins to read its log at 0.
protocol HydrationNotes: Sendable {
    /// Returns when the record is kept.
    ///
    /// - Parameter floor: of the log, in the snapshot that the device's first page was read from.
    /// - Throws: `RPCFailure.unavailable`: the page must not be answered.
    func record(floor: Sequence64, _ context: CallContext) async throws(RPCFailure)
}

/// Upload keeps the records: this service writes nothing.
struct UploadsHydrationNotes: HydrationNotes {
    let upload: RPCClient

    func record(floor: Sequence64, _ context: CallContext) async throws(RPCFailure) {
        var request = NoteHydrationRequest()
        request.floor = floor
        do {
            _ = try await upload.call(UploadRPC.noteHydration, request, context: context)
        } catch {
            if error.status == .cancelled { throw error }
            throw .unavailable("The first page could not be prepared now; try again")
        }
    }
}
