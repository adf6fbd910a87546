extension UploadScenario {
    /// As many devices of one user: they take turns at its log.
    static let upload50OneUser = UploadScenario(
        id: "upload-50-one-user", work: "upload, 50 changes a request, 8 at once of one user",
        devices: 8, changes: 50, isOneUser: true)
}
