import Glibc
import Logging
import NIOCore
import Protos
import RPC
import ServiceLifecycle
import UnixSignals

/// A replica in a process of its own, which tests kill and freeze.
///
///     rpc-test-replica DIRECTORY NAME [USER-ID]
///     rpc-test-replica --call DIRECTORY OWNER-ID [USER-ID]
///
/// PushChanges answers with the replica's name. PullChanges answers with it after `wait_seconds`.
/// With `--call` it calls a replica of the owner's, and prints what each of a few methods answers.
@main
struct RPCTestReplica {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 3 else { exit(64) }
        let isCaller = arguments[1] == "--call"
        let place = isCaller ? 4 : 3
        if arguments.count > place, let user = UInt32(arguments[place]), setuid(user) != 0 {
            exit(77)
        }
        if isCaller { return try await call(arguments[2], owner: UInt32(arguments[3]) ?? 0) }
        let name = ByteBuffer(string: arguments[2])
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { _, _, _ in RPCReply(PushChangesReply(), body: name) }
        router.on(DownloadRPC.pullChanges) { request, _, _ in
            try await Task.sleep(for: .seconds(Int64(request.waitSeconds)))
            return RPCReply(PullChangesReply(), body: name)
        }
        let logger = Logger(label: "rpc-test-replica") { _ in SwiftLogNoOpLogHandler() }
        let server = RPCServer(
            directory: arguments[1], replica: arguments[2], router: router, logger: logger)
        let group = ServiceGroup(
            services: [server], gracefulShutdownSignals: [.sigterm], logger: logger)
        try await group.run()
    }

    private static func call(_ directory: String, owner: UInt32) async throws {
        var limits = RPCLimits()
        limits.peers = SocketPeers([owner: .all])
        limits.replicaWait = .milliseconds(500)
        let client = RPCClient(
            directory: directory, service: "test", limits: limits,
            logger: Logger(label: "rpc-test-replica") { _ in SwiftLogNoOpLogHandler() })
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await client.run() }
            print(await outcome(UploadRPC.pushChanges, PushChangesRequest(), client))
            print(await outcome(UploadRPC.readCapabilities, ReadCapabilitiesRequest(), client))
            print(await outcome(UploadRPC.listFailures, ListFailuresRequest(), client))
            group.cancelAll()
        }
    }

    private static func outcome<Request, Reply>(
        _ method: RPCMethod<Request, Reply>, _ request: Request, _ client: RPCClient
    ) async -> String {
        let context = CallContext(requestID: "t", deadline: .now + .seconds(10))
        do throws(RPCFailure) {
            _ = try await client.call(method, request, context: context)
            return "answered"
        } catch {
            return error.message
        }
    }
}
