import DevStack
import Foundation
import LocalPostgres
import OperatorKit
import Programs
import Testing

/// A stack on a host that gives each service a user of its own, with the settings of
/// `Docs/configuration.md`. Only root can start it, where other users may run the programs.
@Suite(
    "Services as users of their own",
    .enabled(if: ServiceUsers.canRun), .timeLimit(.minutes(5)))
struct ServicesAsUsersOfTheirOwn {
    /// Numbers that belong to nobody.
    private static let users: [String: UInt32] = [
        "gateway": 61_000, "auth": 61_001, "upload": 61_002, "download": 61_003,
    ]
    private static let group: UInt32 = 61_010
    private static let stranger: UInt32 = 61_099
    private static let serviceUsers = "auth=61001 upload=61002 download=61003"

    private static func plan(in directory: StackDirectory) -> Stack.Plan {
        var plan = demonstrationPlan(in: directory)
        plan.users = ServiceUsers(users, group: group)
        plan.environment["OVERSYNC_SERVICE_USERS"] = serviceUsers
        plan.environment["OVERSYNC_DEV_SIGN_IN"] = "false"
        for (service, callers) in [
            ("auth", "61000=GetKeys,IssueClientToken,ListKeys,ReadPool 0=IssueToken"),
            ("upload", "61000=* 61003=NoteHydration,RecordSettings 0=RetryFailure"),
            ("download", "61000 61002=NoteHeads 0"),
        ] {
            plan.environment["OVERSYNC_\(service.uppercased())_CALLERS"] = callers
        }
        return plan
    }

    private static func insertion(_ change: Int) -> String {
        #"{"source_change_id":\#(change),"schema":"business","table":"users","op":"INSERT","#
            + #""pk":"00000000-0000-4000-8000-00000000000\#(change)","server_version":0,"#
            + #""payload":{"name":"n"}}"#
    }

    @Test("Devices sync, operators get what they are named for, and nobody else gets anything")
    func sync() async throws {
        try await withStack(Self.plan) { stack in
            for (service, user) in Self.users {
                let processes = ServiceProcesses.named("oversync-" + service, of: stack)
                #expect(processes.count == (service == "download" ? 2 : 1))
                for process in processes { #expect(try Self.users(of: process) == [user]) }
            }
            try await stack.withClient { client in
                let phone = try await WireDevice(stack, client, user: "ann", device: "phone")
                let laptop = try await WireDevice(stack, client, user: "ann", device: "laptop")
                #expect(try await phone.upload(Self.insertion(1)).status == 200)
                // Upload tells Download, as its user may.
                async let waiting = laptop.download("after=1&wait=20")
                #expect(try await phone.upload(Self.insertion(2)).status == 200)
                let page = try await waiting
                #expect(page.status == 200)
                #expect(try page.value("changes", 0, "server_id") == "2")
                #expect(try await Self.token(stack, as: 0).status == 0)
                try await Self.expectNothing(for: Self.stranger, stack)
                // The gateway's own user gets no tokens either, though it reaches Auth's socket.
                try await Self.expectNothing(for: Self.users["gateway"] ?? 0, stack)
                // Auth comes back at a socket that its new process makes.
                let auth = try #require(ServiceProcesses.named("oversync-auth", of: stack).first)
                kill(auth, SIGKILL)
                try await eventually("Auth is back") {
                    try await Self.token(stack, as: 0).status == 0
                }
                #expect(try await phone.upload(Self.insertion(3)).status == 200)
            }
        }
    }

    /// The real, effective, saved and file-system users of a process, each once.
    private static func users(of process: Int32) throws -> Set<UInt32> {
        let status = try String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("Uid:") })
        return Set(line.split(separator: "\t").dropFirst().compactMap { UInt32($0) })
    }

    /// Asks for a token with `oversync token`.
    private static func token(
        _ stack: StackAddress, as user: UInt32
    ) async throws -> (status: Int32, text: String) {
        try await Program(
            "setpriv",
            [
                "--reuid=\(user)", "--regid=\(group)", "--clear-groups",
                try Executables.find("oversync"), "token", "--user", "ann", "--device", "phone",
            ],
            environment: [
                "OVERSYNC_RUN": stack.sockets, "OVERSYNC_SERVICE_USERS": serviceUsers,
                "HOME": "/", "PATH": "/usr/bin:/bin",
            ]
        ).result(within: .seconds(30))
    }

    private static func expectNothing(for user: UInt32, _ stack: StackAddress) async throws {
        let (status, text) = try await token(stack, as: user)
        #expect(status != 0 && !text.contains("eyJ"), "\(user): \(text)")
    }
}
