import Foundation
import Programs
import Testing

/// Who owns a socket on a volume that containers share: each has process numbers of its own.
@Suite(
    .serialized, .timeLimit(.minutes(5)),
    .enabled("needs the right to make a process namespace") { await Container.canBeMade() })
struct SocketOwnerTests {
    @Test func `a replica in another container owns its name, until it is killed`() async throws {
        let folder = try TestFolder()
        let environment = try folder.environment()
        let socket = "run/upload/one.sock"
        let first = try await ServiceRun(
            .upload, environment, in: folder, wrapper: Container.command)
        try await first.logged("rpc listening")
        let second = try await ServiceRun(
            .upload, environment, in: folder, wrapper: Container.command)
        #expect(try await second.exitCode() == 78)
        #expect(folder.exists(socket) && first.isRunning)
        first.send(SIGKILL)
        try await eventually("the first is gone") { !first.isRunning }
        #expect(folder.exists(socket))
        let third = try await ServiceRun(
            .upload, environment, in: folder, wrapper: Container.command)
        try await third.logged("rpc listening")
        third.send(SIGKILL)
        try await eventually("the third is gone") { !third.isRunning }
        // A container that is created again has another name. What the former left goes.
        let other = try await ServiceRun(
            .upload, environment.merging(["OVERSYNC_REPLICA": "two"]) { $1 }, in: folder)
        try await other.logged("rpc listening")
        #expect(!folder.exists(socket) && !folder.exists(socket + ".lock"))
        try await other.stop()
    }
}

/// A process namespace, as a container has one: its own numbers, and all of it ends with its first process.
private enum Container {
    static let command = ["/usr/bin/unshare", "--pid", "--fork", "--kill-child"]

    static func canBeMade() async -> Bool {
        let make = Program(command[0], command.dropFirst() + ["true"])
        return (try? await make.run()) == 0
    }
}
