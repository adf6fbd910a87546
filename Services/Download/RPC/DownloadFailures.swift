import DatabaseKit
import RPC

extension DatabaseFailures {
    /// The errors that Download's callers get.
    static let download = DatabaseFailures(
        faultCode: "download_failed", faultMessage: "Failed to process download",
        later: Later("The download could not be processed now; try again"))
}

extension RPCFailure {
    static let tablesChanged = RPCFailure(
        .conflict, code: "tables_changed",
        message: "The tables that this device may read have changed; read /sync/capabilities")
}
