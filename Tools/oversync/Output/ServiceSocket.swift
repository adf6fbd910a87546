import Foundation
import Logging
import OperatorKit
import RPC
import ServiceKit
import Sidecar

/// A service that this tool calls over its sockets.
enum CalledService: String, CaseIterable {
    case auth, upload, download

    /// As people call it.
    var name: String { rawValue.capitalized }

    /// Finds the directory of the services' sockets.
    ///
    /// - Throws: `StackError` that says how to name it.
    static func sockets(in stack: StackOptions) throws -> String {
        let set = ProcessInfo.processInfo.environment[CommonSettings.runDirectory.key]
        guard let sockets = set ?? StackAddress.running(in: stack.directory)?.sockets else {
            throw StackError(
                "no sockets of services: set \(CommonSettings.runDirectory.key), "
                    + "or run oversync-dev dev"
            )
        }
        return sockets
    }

    /// - Parameter sockets: the directory of all services' sockets.
    func client(in sockets: String) throws -> RPCClient {
        var limits = RPCLimits()
        limits.peers = try Configuration().value(PeerSettings.serviceUsers).peers(of: rawValue)
        return RPCClient(
            directory: "\(sockets)/\(rawValue)", service: rawValue, limits: limits,
            hello: BuildInfo.hello, logger: ConsoleLogHandler.logger(.critical))
    }
}

/// Calls a service in the name of this terminal.
///
/// - Parameter body: gets a client, and a context for a short call.
/// - Throws: `StackError` where the service cannot be reached; what `body` throws.
func withService<R: Sendable>(
    _ service: CalledService, in stack: StackOptions,
    _ body: (RPCClient, CallContext) async throws -> R
) async throws -> R {
    let sockets = try CalledService.sockets(in: stack)
    let client = try service.client(in: sockets)
    let context = CallContext(
        requestID: UUID().uuidString, deadline: .now + .seconds(5),
        clientAddress: AuditOrigin.thisTerminal.host)
    return try await withThrowingTaskGroup(of: Void.self) { group in
        group.addTask { try await client.run() }
        defer { group.cancelAll() }
        do {
            return try await body(client, context)
        } catch let failure as RPCFailure {
            throw StackError(
                "the \(service.name) service at \(sockets)/\(service.rawValue): \(failure.message)")
        }
    }
}
