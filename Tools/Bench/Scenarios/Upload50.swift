extension UploadScenario {
    /// Devices of as many users.
    static let upload50 = UploadScenario(
        id: "upload-50", work: "upload, 50 changes a request, 8 at once", devices: 8, changes: 50)
}
