import DatabaseKit
import RPC

extension DatabaseFailures {
    /// What Download's callers are told.
    static let download = DatabaseFailures(
        faultCode: "download_failed", faultMessage: "Failed to process download",
        later: Later("The download could not be processed now; try again"))
}

extension RPCFailure {
    static let tablesChanged = RPCFailure(
        .conflict, code: "tables_changed",
        message: "The tables that this device may read have changed; read /sync/capabilities")
}
