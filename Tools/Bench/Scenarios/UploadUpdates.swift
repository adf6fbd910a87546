extension UploadScenario {
    /// Rows that are there already and are written again and again.
    static let updates = UploadScenario(
        id: "upload-updates", work: "upload, 200 updates a request, 8 at once", devices: 8,
        changes: 200, mix: .updates)
}
