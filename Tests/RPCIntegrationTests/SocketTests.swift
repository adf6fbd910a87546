import Foundation
import Programs
import Glibc
import NIOCore
import NIOPosix
import Protos
import ServiceLifecycle
import SwiftProtobuf
import Testing

@testable import RPC

/// Who owns a socket, and who may use it.
@Suite(.timeLimit(.minutes(1)))
struct SocketTests {
    let directory = RunDirectory()

    private func server(_ name: String, events: RecordedEvents = RecordedEvents()) -> RPCServer {
        var router = RPCRouter()
        router.on(UploadRPC.pushChanges) { _, body, _ in RPCReply(PushChangesReply(), body: body) }
        return RPCServer(
            directory: directory.path, replica: name, router: router, logger: quiet,
            observer: events)
    }

    private func files() throws -> Set<String> {
        Set(try FileManager.default.contentsOfDirectory(atPath: directory.path))
    }

    @Test func `a socket is open to owner and group only, and gone after the server`() async throws
    {
        let events = RecordedEvents()
        try await withServices([server("one", events: events)]) { _ in
            await events.listening()
            let attributes = try FileManager.default.attributesOfItem(
                atPath: "\(directory.path)/one.sock")
            #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o660)
            let during = try files()
            #expect(during == ["one.sock", "one.sock.lock"])
        }
        let after = try files()
        #expect(after == ["one.sock.lock"])
    }

    @Test func `a second server of the same name is refused while the first lives`() async throws {
        let events = RecordedEvents()
        try await withServices([server("one", events: events)]) { _ in
            await events.listening()
            await #expect(
                throws: SocketError.ownedByAnother(path: "\(directory.path)/one.sock")
            ) { try await server("one").run() }
            // The first was not disturbed.
            let left = try files()
            #expect(left.contains("one.sock"))
        }
    }

    @Test func `a stale socket of its own does not keep a server from starting`() async throws {
        let dead = try await ReplicaProcess("one", in: directory)
        try await eventually { (try? files().contains("one.sock")) == true }
        try await dead.kill9()
        let left = try files()
        #expect(left.contains("one.sock"))
        let events = RecordedEvents()
        try await withServices([server("one", events: events)]) { _ in await events.listening() }
    }

    @Test func `a starting server removes what dead replicas left, and nothing of living ones`()
        async throws
    {
        let dead = try await ReplicaProcess("dead", in: directory)
        let living = try await ReplicaProcess("living", in: directory)
        try await eventually {
            (try? files().isSuperset(of: ["dead.sock", "living.sock"])) == true
        }
        try await dead.kill9()
        let events = RecordedEvents()
        try await withServices([server("one", events: events)]) { _ in
            await events.listening()
            let left = try files()
            #expect(left == ["living.sock", "living.sock.lock", "one.sock", "one.sock.lock"])
        }
        withExtendedLifetime(living) {}
    }

    @Test func `a path that the system would cut off is refused by name`() async throws {
        let long = RPCServer(
            directory: "/tmp/" + String(repeating: "x", count: 100), replica: "one",
            router: RPCRouter(), logger: quiet)
        await #expect {
            try await long.run()
        } throws: { error in
            guard case SocketError.pathTooLong = error else { return false }
            return "\(error)".contains("107")
        }
    }

    @Test(arguments: ["", "../up", ".hidden", "a/b", String(repeating: "n", count: 65)])
    func `a replica's name cannot leave the directory`(name: String) async throws {
        await #expect(throws: SocketError.invalidReplicaName(name)) {
            try await server(name).run()
        }
    }

    @Test(
        arguments: [
            [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0], [0, 0, 0, 8, 0, 0, 0, 200, 1, 2, 3, 4],
            [0, 0, 0, 1, 7],
        ] as [[UInt8]])
    func `bytes that are no frame close their connection and no other`(bytes: [UInt8]) async throws
    {
        let events = RecordedEvents()
        let clientEvents = RecordedEvents()
        let client = RPCClient(
            directory: directory.path, service: "test", logger: quiet, observer: clientEvents)
        try await withServices([client, server("one", events: events)]) { _ in
            await clientEvents.connected("one")
            let rogue = try await ClientBootstrap(group: .singletonMultiThreadedEventLoopGroup)
                .connect(unixDomainSocketPath: "\(directory.path)/one.sock").get()
            try await rogue.writeAndFlush(ByteBuffer(bytes: bytes)).get()
            try await rogue.closeFuture.get()
            await events.first { if case .protocolViolation = $0 { true } else { false } }
            _ = try await client.call(
                UploadRPC.pushChanges, PushChangesRequest(), context: context())
        }
    }

    /// Needs another user, so only root can run it.
    @Test(.enabled(if: getuid() == 0))
    func `a client does not talk to a server of another user`() async throws {
        #expect(mkdir(directory.path, 0o777) == 0)
        #expect(chmod(directory.path, 0o777) == 0)
        let stranger = try await ReplicaProcess("one", in: directory, user: 65_534)
        let events = RecordedEvents()
        let client = RPCClient(
            directory: directory.path, service: "test", logger: quiet, observer: events)
        try await withServices([client]) { _ in
            await events.first { event in
                if case .peerRefused(65_534) = event { true } else { false }
            }
            #expect(!client.isReady)
        }
        withExtendedLifetime(stranger) {}
    }
}

extension SocketTests {
    /// Needs another user, so only root can run it.
    @Test(.enabled(if: getuid() == 0))
    func `a server hangs up on a client of another user`() async throws {
        let events = RecordedEvents()
        try await withServices([server("one", events: events)]) { _ in
            await events.listening()
            let path = "\(directory.path)/one.sock"
            #expect(chmod(directory.path, 0o777) == 0)
            #expect(chmod(path, 0o777) == 0)
            // Ends with 0 when the server has closed.
            let connector = Program(
                "perl",
                [
                    "-MSocket", "-e",
                    """
                    $( = $) = 65534; $> = $< = 65534; alarm 20;
                    socket(S, PF_UNIX, SOCK_STREAM, 0) and connect(S, pack_sockaddr_un($ARGV[0])) or exit 2;
                    exit(sysread(S, $b, 1) ? 3 : 0);
                    """, path,
                ])
            let status = try await connector.run()
            #expect(status == 0)
            await events.first { event in
                if case .peerRefused(65_534) = event { true } else { false }
            }
        }
    }
}

extension RecordedEvents {
    func listening() async {
        await first { if case .listening = $0 { true } else { false } }
    }
}
