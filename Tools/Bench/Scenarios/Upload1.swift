extension UploadScenario {
    /// People who write a row now and then: the cost of a request.
    static let upload1 = UploadScenario(
        id: "upload-1", work: "upload, 1 change a request, 32 at once", devices: 32, changes: 1,
        floor: .init(script: "floor-upload-1.sql", target: 0.55))
}
