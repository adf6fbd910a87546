import Foundation
import NIOHTTP1
import Testing
import Yams

@testable import Gateway

/// The console's files, without a browser: where they are served, with which headers, and what they
/// ask for. `make console-test` opens them.
@Suite(.timeLimit(.minutes(1)))
struct ConsoleTests {
    private static let door = ["OVERSYNC_GATEWAY_ADMIN_PORT": "0"]
    private static let files = [
        "": "text/html", "/console.css": "text/css", "/console.js": "text/javascript",
        "/kit.js": "text/javascript", "/pages.js": "text/javascript",
    ]

    @Test func `every file is served at the administrators' port alone, with its headers`()
        async throws
    {
        try await withGateway(Self.door) { gateway in
            let port = try #require(gateway.adminPort)
            for (name, type) in Self.files {
                let path = ConsoleRoutes.path + name
                let answer = try await gateway.send(.GET, path, at: port)
                #expect(answer.status == 200, "\(name)")
                #expect(answer.headers["Content-Type"] == [type + "; charset=utf-8"])
                #expect(answer.headers["X-Content-Type-Options"] == ["nosniff"])
                #expect(answer.headers["X-Frame-Options"] == ["DENY"])
                #expect(answer.headers["Referrer-Policy"] == ["no-referrer"])
                #expect(answer.headers["Cache-Control"] == ["no-store"])
                let policy = try #require(answer.headers["Content-Security-Policy"].first)
                for part in [
                    "default-src 'none'", "script-src 'self'", "style-src 'self'",
                    "connect-src 'self'", "frame-ancestors 'none'", "base-uri 'none'",
                    "form-action 'none'", "require-trusted-types-for 'script'",
                ] {
                    #expect(policy.contains(part), "\(part)")
                }
                #expect(!policy.contains("unsafe"))
                #expect(answer.headers["Set-Cookie"].isEmpty)
                let devices = try await gateway.send(.GET, path)
                #expect(devices.status == 404, "\(name)")
                let post = try await gateway.send(.POST, path, at: port)
                #expect(post.status == 405, "\(name)")
            }
        }
    }

    private static func text(_ file: String) throws -> String {
        let folder = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Services/Gateway/Resources").standardizedFileURL
        return try String(contentsOf: folder.appending(path: file), encoding: .utf8)
    }

    @Test func `pages ask for documented routes alone, and for files that are there`() throws {
        let page = try #require(
            (try Yams.load(yaml: try Self.text("openapi.yaml")) as? [String: Any])?["paths"]
                as? [String: [String: Any]])
        let script = try Self.text("pages.js")
        var asked: Set<String> = []
        for match in script.matches(of: /\b(get|getText|post)\("(\/[^"]*)"/) {
            let method = match.1 == "post" ? "post" : "get"
            #expect(page[String(match.2)]?[method] != nil, "\(method) \(match.2)")
            asked.insert(String(match.2))
        }
        // Actions are named where they are confirmed.
        for match in script.matches(of: /set\("(\/[^"]*)"/) {
            #expect(page[String(match.1)]?["post"] != nil, "\(match.1)")
            asked.insert(String(match.1))
        }
        let all = page.keys.filter { $0.hasPrefix("/admin/") }
        #expect(asked == Set(all))
        let mentioned = script.matches(of: /"(\/admin\/[a-z\/-]+)"/).map { String($0.1) }
        #expect(Set(mentioned) == asked)
        for file in ["console.html", "console.js", "kit.js", "pages.js"] {
            for match in try Self.text(file).matches(of: /"\/admin\/console([^"]*)"/) {
                #expect(Self.files[String(match.1)] != nil, "\(file): \(match.1)")
            }
        }
    }

    @Test func `no page makes markup of values, keeps anything, or asks elsewhere`() throws {
        for file in ["console.html", "console.css", "console.js", "kit.js", "pages.js"] {
            let text = try Self.text(file)
            for word in [
                "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(",
                "new Function", "localStorage", "document.cookie", "http://", "https://", "//cdn",
                " style=", " onclick=\"",
            ] {
                #expect(!text.contains(word), "\(file) has \(word)")
            }
        }
        let html = try Self.text("console.html")
        #expect(html.matches(of: /<script(?![^>]* src=)/).isEmpty, "no script is inline")
        #expect(html.contains("<html lang=\"en\">") && html.contains("name=\"viewport\""))
    }
}
