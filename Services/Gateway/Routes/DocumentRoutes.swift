import Hummingbird
import NIOCore

/// The protocol's description.
struct DocumentRoutes: Sendable {
    var routes: [Route] {
        [
            Route(.get, "/openapi.yaml") { _, _ in
                Response(
                    status: .ok, headers: [.contentType: "application/yaml"],
                    body: ResponseBody(
                        byteBuffer: ByteBuffer(bytes: PackageResources.openapi_yaml)))
            }
        ]
    }
}
