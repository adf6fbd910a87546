import DatabaseKit

extension DatabaseFailures {
    /// When to come back after there were too many uploads: about the time in which those that wait
    /// are served.
    static let uploadPauseWhenFull: Duration = .seconds(5)

    /// The errors that Upload's callers get.
    static let upload = DatabaseFailures(
        faultCode: "upload_failed", faultMessage: "Failed to process upload",
        later: Later("The upload could not be processed now; nothing of it is lost, send it again"),
        whenFull: Later(
            "The database has no free connection; nothing of the upload is lost, "
                + "send it again later",
            after: uploadPauseWhenFull),
        whenPrivilegeIsMissing: Later(
            "The service lacks a privilege in its database; nothing of the upload is lost, "
                + "send it again later",
            after: uploadPauseWhenFull))
}
