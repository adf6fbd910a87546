import HTTPTypes
import Hummingbird
import NIOCore

/// The console: static files on the administrators' port alone. They hold nothing of anybody; what
/// they show they ask for, with the token that an administrator gives them.
struct ConsoleRoutes: Sendable {
    /// Scripts and styles are files of this server, values are never markup, and nothing is asked
    /// for elsewhere.
    static let policy = [
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'",
        "img-src data:",
        "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
        "require-trusted-types-for 'script'", "trusted-types 'none'",
    ].joined(separator: "; ")

    static let path = "/admin/console"

    private struct File {
        let name: String
        let type: String
        let body: ByteBuffer
    }

    /// Made once: anybody at that port may ask for them as often as he likes.
    private static let files = [
        File(name: "", type: "text/html", body: ByteBuffer(bytes: PackageResources.console_html)),
        File(
            name: "/console.css", type: "text/css",
            body: ByteBuffer(bytes: PackageResources.console_css)),
        File(
            name: "/console.js", type: "text/javascript",
            body: ByteBuffer(bytes: PackageResources.console_js)),
        File(
            name: "/kit.js", type: "text/javascript",
            body: ByteBuffer(bytes: PackageResources.kit_js)),
        File(
            name: "/pages.js", type: "text/javascript",
            body: ByteBuffer(bytes: PackageResources.pages_js)),
    ]

    var routes: [Route] {
        Self.files.map { file in
            Route(.get, Self.path + file.name) { _, _ in
                var response = Response(
                    status: .ok, headers: [.contentType: file.type + "; charset=utf-8"],
                    body: ResponseBody(byteBuffer: file.body))
                response.headers[.contentSecurityPolicy] = Self.policy
                response.headers[.frameOptions] = "DENY"
                response.headers[.referrerPolicy] = "no-referrer"
                response.headers[.openerPolicy] = "same-origin"
                response.headers[.resourcePolicy] = "same-origin"
                return response
            }
        }
    }
}

extension HTTPField.Name {
    fileprivate static let frameOptions = Self("X-Frame-Options")!
    fileprivate static let referrerPolicy = Self("Referrer-Policy")!
    fileprivate static let openerPolicy = Self("Cross-Origin-Opener-Policy")!
    fileprivate static let resourcePolicy = Self("Cross-Origin-Resource-Policy")!
}
