extension DownloadScenario {
    /// A newly installed device.
    static let download1000 = DownloadScenario(
        id: "download-1000", work: "download from the start, 1000-row pages, 8 at once",
        pageRows: 1000, judgesProcessors: true)
}
