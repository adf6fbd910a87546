extension DownloadScenario {
    /// The same in small pages.
    static let download100 = DownloadScenario(
        id: "download-100", work: "download from the start, 100-row pages, 8 at once",
        pageRows: 100)
}
