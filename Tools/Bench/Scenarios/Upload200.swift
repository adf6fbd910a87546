extension UploadScenario {
    /// Devices with much to send: the main road.
    static let upload200 = UploadScenario(
        id: "upload-200", work: "upload, 200 changes a request, 8 at once", devices: 8,
        changes: 200, floor: .init(script: "floor-upload.sql", target: 0.55),
        judgesProcessors: true)
}
