import Foundation
import OverSQLite
import OverSQLiteTestSupport
import Synchronization

/// A gateway that says what its columns are.
final class TypedGateway: HTTPTransport {
    let gateway: InMemoryGateway
    let tables: Mutex<String>

    init(_ gateway: InMemoryGateway, _ tables: String) {
        self.gateway = gateway
        self.tables = Mutex(tables)
    }

    func send(_ request: TransportRequest) async throws -> TransportResponse {
        guard request.url.path.hasSuffix("capabilities") else {
            return try await gateway.send(request)
        }
        let body = #"{"api_versions":[1],"features":[],"tables":\#(tables.withLock { $0 })}"#
        return TransportResponse(status: 200, body: Array(body.utf8))
    }
}
