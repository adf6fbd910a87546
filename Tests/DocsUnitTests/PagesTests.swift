import Foundation
import Testing

/// All pages together: they are found, and what they point to is there.
struct PagesTests {
    @Test func `the index names every page`() throws {
        let pages = try Repository.texts(ofKinds: ["md"], in: ["Docs"]).map(\.path)
        let index = try Repository.text(of: "Docs/README.md")
        #expect(pages.count > 15)
        for page in pages where page != "Docs/README.md" {
            #expect(index.contains("](\(page.dropFirst("Docs/".count)))"), "\(page)")
        }
    }

    @Test func `the picture is what its script draws`() throws {
        let script = Process()
        script.executableURL = Repository.root.appending(path: "Tools/make/picture.sh")
        let output = Pipe()
        script.standardOutput = output
        try script.run()
        let drawn = output.fileHandleForReading.readDataToEndOfFile()
        script.waitUntilExit()
        #expect(script.terminationStatus == 0)
        #expect(
            String(decoding: drawn, as: UTF8.self) == (try Repository.text(of: "Docs/picture.svg")))
    }

    @Test func `every link between pages leads to a file, and to a heading where it names one`()
        throws
    {
        var links = 0
        for (path, text) in try Repository.texts(ofKinds: ["md"]) {
            let folder = (path as NSString).deletingLastPathComponent
            for link in text.matches(of: /\]\(([^)\s]+)\)/) where !link.output.1.contains("://") {
                links += 1
                let parts = link.output.1.split(separator: "#", omittingEmptySubsequences: false)
                let target = parts[0].isEmpty ? path : "\(folder)/\(parts[0])"
                let file = Repository.root.appending(path: target).standardizedFileURL
                #expect(
                    FileManager.default.fileExists(atPath: file.path), "\(path): \(link.output.1)")
                guard parts.count == 2 else { continue }
                let page = try String(contentsOf: file, encoding: .utf8)
                #expect(
                    Self.anchors(of: page).contains(String(parts[1])), "\(path): \(link.output.1)")
            }
        }
        #expect(links > 60)
    }

    /// What a heading is called in a link.
    private static func anchors(of page: String) -> Set<String> {
        Set(
            page.matches(of: /(?m)^#+ (.+)$/).map { heading in
                heading.output.1.lowercased().filter {
                    $0.isLetter || $0.isNumber || "- _".contains($0)
                }
                .replacing(" ", with: "-")
            })
    }
}
