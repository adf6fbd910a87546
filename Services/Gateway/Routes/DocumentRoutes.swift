import Hummingbird
import NIOCore

/// The protocol's description.
struct DocumentRoutes: Sendable {
    /// Made once: anybody may ask for it as often as he likes, and leave it unread.
    private static let page = ByteBuffer(bytes: PackageResources.openapi_yaml)

    var routes: [Route] {
        [
            Route(.get, "/openapi.yaml") { _, _ in
                Response(
                    status: .ok, headers: [.contentType: "application/yaml"],
                    body: ResponseBody(byteBuffer: Self.page))
            }
        ]
    }
}
