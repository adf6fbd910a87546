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
///
/// PushChanges answers with the replica's name. PullChanges answers with it after `wait_seconds`.
@main
struct RPCTestReplica {
    static func main() async throws {
        let arguments = CommandLine.arguments
        guard arguments.count >= 3 else { exit(64) }
        if arguments.count > 3, let user = UInt32(arguments[3]), setuid(user) != 0 { exit(77) }
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
}
