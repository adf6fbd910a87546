extension UploadScenario {
    /// Every other change is refused, with the server's row in the answer.
    static let conflicts = UploadScenario(
        id: "upload-conflicts", work: "upload, 100 inserts and 100 conflicts a request, 8 at once",
        devices: 8, changes: 200, mix: .conflicts)
}
