extension UploadScenario {
    /// Rows that come and go.
    static let deletes = UploadScenario(
        id: "upload-deletes", work: "upload, 100 inserts and 100 deletes a request, 8 at once",
        devices: 8, changes: 200, mix: .deletes)
}
