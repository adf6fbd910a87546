import DatabaseKit

extension DatabaseFailures {
    /// What Download's callers are told.
    static let download = DatabaseFailures(
        faultCode: "download_failed", faultMessage: "Failed to process download",
        later: Later("The download could not be processed now; try again"))
}
