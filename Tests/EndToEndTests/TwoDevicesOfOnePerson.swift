import DevStack
import Foundation
import Notes
import OperatorKit
import Testing

@Suite("Two devices of one person")
struct TwoDevicesOfOnePerson {
    /// ```
    /// laptop  adds ───────── edits the note ── syncs ───────────────── removes ── quits, comes back
    /// phone   ── shows it ─ offline ─ edits it ─ online: conflict, here ─ rejected ─ quits
    /// ```
    @Test(
        "Each shows arrivals, conflicts with both values and rejections; a restart finds everything",
        .timeLimit(.minutes(5)))
    func share() async throws {
        try await withNotes { folder in
            let laptop = try device("laptop", folder)
            let phone = try device("phone", folder)
            try await laptop.expect("0 notes, 0 tasks")
            try await phone.expect("phone> ")

            laptop.type("add Shopping\rtask 1 milk\r")
            try await laptop.expect("added note 1 “Shopping”")
            try await phone.expect("* new note 1 “Shopping”")
            try await phone.expect("* new task 2 “milk”")

            try await editAtOnce(laptop, phone)
            try await beRefused(phone)
            try await typeWhileNewsArrives(laptop, phone)

            laptop.type("rm 1\r")
            try await laptop.expect("removed note 1 “Shopping”")
            try await phone.expect("* note 1 “Shopping” was removed")
            try await quit([laptop, phone])
            try expectTranscript(of: phone)
            try await comeBack(folder)
        }
    }

    private func editAtOnce(_ laptop: Typist, _ phone: Typist) async throws {
        phone.type("offline\r")
        try await phone.expect("phone (offline)> ")
        phone.type("edit 1 on Friday\r")
        try await phone.expect("phone (offline, 1 to send)> ")
        phone.type("done 2\r")
        try await phone.expect("task 2 “milk” is done")
        try await phone.expect("phone (offline, 2 to send)> ")
        laptop.type("edit 1 on Saturday\rsync\r")
        try await laptop.expect("everything is synced")

        phone.type("online\r")
        try await phone.expect(
            "! conflict in note 1 “Shopping”: the body was changed here and on another device")
        try await phone.expect("there (stands): “on Saturday”")
        try await phone.expect("here:           “on Friday”")
        try await laptop.expect("* task 2 “milk” is done")
        phone.type("conflicts\r")
        try await phone.expect("here:           “on Friday”")
        phone.type("here 1\r")
        try await phone.expect("the value of this device is restored")
        try await laptop.expect("* note 1 “Shopping” now says “on Friday”")
        phone.type("conflicts\r")
        try await phone.expect("no conflicts")
    }

    /// The server's constraint refuses a title that this app takes.
    private func beRefused(_ phone: Typist) async throws {
        let title = String(repeating: "long ", count: 15) + "title"
        phone.type("rename 1 \(title)\r")
        try await phone.expect("! note 1 “\(title)” was rejected: ")
        try await phone.expect("check violation")
        try await phone.expect("phone (1 rejected)> ")
        phone.type("rejected\r")
        try await phone.expect("take the change back with `discard 1`")
        phone.type("discard 1\r")
        try await phone.expect("the change to 1 is undone")
        phone.type("rejected\rlist\r")
        try await phone.expect("nothing is rejected")
        try await phone.expect("  1  Shopping")
    }

    private func typeWhileNewsArrives(_ laptop: Typist, _ phone: Typist) async throws {
        phone.type("add Bre")
        try await phone.expect("phone> add Bre")
        laptop.type("add Ideas\r")
        try await phone.expect("* new note 3 “Ideas”")
        try await phone.expect("phone> add Bre")
        phone.type("xx\u{7F}\u{7F}ad\r")
        try await phone.expect("added note 4 “Bread”")
        try await laptop.expect("* new note 4 “Bread”")
    }

    private func quit(_ devices: [Typist]) async throws {
        for typist in devices {
            typist.type("quit\r")
            try await typist.expect("Everything is synced. Bye.")
            #expect(try await typist.end() == 0)
        }
    }

    /// The page shows what was on the phone's screen.
    private func expectTranscript(of phone: Typist) throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let page = try String(
            contentsOf: root.appending(path: "Docs/example.md"), encoding: .utf8)
        let block = try #require(
            page.split(separator: "```text\n").last?.split(separator: "```").first)
        // What a prompt counts depends on how fast the phone is synced meanwhile.
        let count = #/phone \([0-9]+ (to send|rejected)\)> /#
        var rest = phone.text.replacing(count, with: "phone> ")[...]
        for shown in block.split(separator: "\n") {
            let line = shown.replacing(count, with: "phone> ")
            let found = try #require(rest.range(of: line), "\(line)")
            rest = rest[found.upperBound...]
        }
    }

    private func comeBack(_ folder: String) async throws {
        let laptop = try device("laptop", folder, columns: 24)
        try await laptop.expect("laptop> ")
        laptop.type("list\r")
        try await laptop.expect("  3  Ideas")
        try await laptop.expect("  4  Bread")
        laptop.type("help\r")
        try await laptop.expect("quit")
        // Ctrl-C gives up the line, and without one the program ends.
        laptop.type("half a li\u{3}")
        try await laptop.expect("^C")
        laptop.type("\u{3}")
        try await laptop.expect("Bye.")
        #expect(try await laptop.end() == 0)
        // A line that is drawn again begins with a carriage return.
        let drawn = laptop.text.unicodeScalars.split { $0 == "\n" || $0 == "\r" }
        let wide = drawn.filter { $0.count > 24 }.map { String($0) }
        #expect(wide.isEmpty)

        let phone = try device("phone", folder)
        try await phone.expect("2 notes, 0 tasks")
        phone.type("\u{4}")
        try await phone.expect("Bye.")
        #expect(try await phone.end() == 0)
        #expect(!phone.text.contains("Shopping"))
    }

    @Test(
        "Without a terminal it obeys lines, shows neither prompts nor colours, and syncs at the end",
        .timeLimit(.minutes(3)))
    func script() async throws {
        try await withNotes { folder in
            let first = try await run("add Shopping\ntask 1 milk\nnonsense\nlist", "laptop", folder)
            #expect(
                first == """
                    Notes of “ada”: 0 notes, 0 tasks. `help` lists the commands.
                    added note 1 “Shopping”
                    added task 2 “milk”
                    no command “nonsense”; `help` lists the commands
                      1  Shopping  [0 of 1 done]
                    Everything is synced. Bye.

                    """)
            let second = try await run("sync\nshow 1\n", "phone", folder)
            #expect(second.contains("  2  [ ] milk\nEverything is synced. Bye.\n"))
            let long = String(repeating: "long ", count: 16)
            let third = try await run("rename 1 \(long)\nsync\nstatus\n", "phone", folder)
            #expect(third.contains("all changes are synced except those that `rejected` shows\n"))
            #expect(third.contains("to send: 0 changes; rejected: 1 change\n"))
            #expect(!third.contains("verything is synced"))
            #expect(third.hasSuffix("1 change rejected; all others are synced. Bye.\n"))
        }
    }

    @Test(
        "What was just written is counted, and nothing is called synced before the first exchange",
        .timeLimit(.minutes(3)))
    func counted() async throws {
        let folder =
            FileManager.default.temporaryDirectory.path + "/oversync-notes-"
            + UUID().uuidString.prefix(8)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let empty = try await run("offline\nstatus\nquit\n", "tablet", folder)
        #expect(empty.contains("offline, not synced yet; `online` starts syncing again\n"))
        #expect(empty.hasSuffix("Not synced yet. Bye.\n"))
        let written = try await run("offline\nadd X\nstatus\nquit\n", "tablet", folder)
        #expect(written.contains("to send: 1 change; rejected: 0 changes\n"))
        #expect(written.hasSuffix("1 change will be sent next time. Bye.\n"))
    }

    @Test(
        "Without a server it says so, keeps what is written, and ends when asked to",
        .timeLimit(.minutes(3)))
    func alone() async throws {
        let folder =
            FileManager.default.temporaryDirectory.path + "/oversync-notes-"
            + UUID().uuidString.prefix(8)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let laptop = try device("laptop", folder)
        try await laptop.expect(
            "! no sync: The server cannot be reached. It is tried again by itself.")
        laptop.type("add Shopping\r")
        try await laptop.expect("laptop (no sync, 1 to send)> ")
        kill(laptop.process, SIGTERM)
        try await laptop.expect("1 change will be sent next time. Bye.")
        #expect(try await laptop.end() == 0)
        let again = try await run("add More\nlist", "laptop", folder)
        #expect(again.contains("  1  Shopping\n"))
        #expect(again.hasSuffix("2 changes will be sent next time. Bye.\n"))
    }

    // MARK: The devices

    private func withNotes(_ body: @escaping @Sendable (String) async throws -> Void) async throws {
        try await withStack({
            plan(in: $0, NotesTables.registrations, NotesTables.businessSchema)
        }) { stack in
            let certificates = URL(filePath: stack.authority).deletingLastPathComponent()
            try await body(certificates.deletingLastPathComponent().path)
        }
    }

    private func device(_ name: String, _ folder: String, columns: UInt16 = 120) throws -> Typist {
        try Typist(
            "oversync-dev", ["notes", "--device", name, "--directory", folder], columns: columns)
    }

    /// What the program prints for lines from a file. A pipe would stay open while any process lives
    /// that another test starts meanwhile.
    private func run(_ lines: String, _ name: String, _ folder: String) async throws -> String {
        let (status, text) = try await runProgram(
            "oversync-dev", ["notes", "--device", name, "--directory", folder], input: lines,
            withErrors: false)
        #expect(status == 0)
        return text
    }
}
