import DevStack
import Foundation
import Notes
import OperatorKit
import Testing

@Suite("Two people at their terminals")
struct TwoPeopleAtTheirTerminals {
    /// ```
    /// ada   adds ───────────── edits the note ── syncs ──────────────────────── removes ── quits, comes back
    /// bob   ── sees it ─ offline ── edits it, too ───── online: conflict, mine ── rejected ── quits
    /// ```
    @Test(
        "They share notes, offline too: arrivals, conflicts with both values and refusals are told, and a restart finds everything",
        .timeLimit(.minutes(5)))
    func share() async throws {
        try await withNotes { folder in
            let ada = try person("ada", folder)
            let bob = try person("bob", folder)
            try await ada.expect("0 notes, 0 tasks")
            try await bob.expect("bob> ")

            ada.type("add Shopping\rtask 1 milk\r")
            try await ada.expect("added note 1 “Shopping”")
            try await bob.expect("* new note 1 “Shopping”")
            try await bob.expect("* new task 2 “milk”")

            try await editAtOnce(ada, bob)
            try await beRefused(bob)
            try await typeWhileNewsArrives(ada, bob)

            ada.type("rm 1\r")
            try await ada.expect("removed note 1 “Shopping”")
            try await bob.expect("* note 1 “Shopping” was removed")
            try await quit([ada, bob])
            try expectTranscript(of: bob)
            try await comeBack(folder)
        }
    }

    private func editAtOnce(_ ada: Typist, _ bob: Typist) async throws {
        bob.type("offline\r")
        try await bob.expect("bob (offline)> ")
        bob.type("edit 1 on Friday\r")
        try await bob.expect("bob (offline, 1 to send)> ")
        bob.type("done 2\r")
        try await bob.expect("task 2 “milk” is done")
        try await bob.expect("bob (offline, 2 to send)> ")
        ada.type("edit 1 on Saturday\rsync\r")
        try await ada.expect("everything is synced")

        bob.type("online\r")
        try await bob.expect(
            "! conflict in note 1 “Shopping”: the body was changed here and elsewhere")
        try await bob.expect("theirs (stands): “on Saturday”")
        try await bob.expect("yours:           “on Friday”")
        try await ada.expect("* task 2 “milk” is done")
        bob.type("conflicts\r")
        try await bob.expect("yours:           “on Friday”")
        bob.type("mine 1\r")
        try await bob.expect("yours is restored")
        try await ada.expect("* note 1 “Shopping” now says “on Friday”")
        bob.type("conflicts\r")
        try await bob.expect("no conflicts")
    }

    /// The server's constraint refuses a title that this app takes.
    private func beRefused(_ bob: Typist) async throws {
        let title = String(repeating: "long ", count: 15) + "title"
        bob.type("rename 1 \(title)\r")
        try await bob.expect("! note 1 “\(title)” was rejected: ")
        try await bob.expect("check violation")
        try await bob.expect("bob (1 rejected)> ")
        bob.type("rejected\r")
        try await bob.expect("take the change back with `discard 1`")
        bob.type("discard 1\r")
        try await bob.expect("the change to 1 is undone")
        bob.type("rejected\rlist\r")
        try await bob.expect("nothing is rejected")
        try await bob.expect("  1  Shopping")
    }

    private func typeWhileNewsArrives(_ ada: Typist, _ bob: Typist) async throws {
        bob.type("add Bre")
        try await bob.expect("bob> add Bre")
        ada.type("add Ideas\r")
        try await bob.expect("* new note 3 “Ideas”")
        try await bob.expect("bob> add Bre")
        bob.type("xx\u{7F}\u{7F}ad\r")
        try await bob.expect("added note 4 “Bread”")
        try await ada.expect("* new note 4 “Bread”")
    }

    private func quit(_ people: [Typist]) async throws {
        for typist in people {
            typist.type("quit\r")
            try await typist.expect("Everything is synced. Bye.")
            #expect(try await typist.end() == 0)
        }
    }

    /// What the README shows is what was on Bob's screen.
    private func expectTranscript(of bob: Typist) throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let readme = try String(contentsOf: root.appending(path: "README.md"), encoding: .utf8)
        let block = try #require(
            readme.split(separator: "```text\n").last?.split(separator: "```").first)
        var rest = bob.text[...]
        for line in block.split(separator: "\n") {
            let found = try #require(rest.range(of: line), "\(line)")
            rest = rest[found.upperBound...]
        }
    }

    private func comeBack(_ folder: String) async throws {
        let ada = try person("ada", folder, columns: 24)
        try await ada.expect("ada> ")
        ada.type("list\r")
        try await ada.expect("  3  Ideas")
        try await ada.expect("  4  Bread")
        ada.type("help\r")
        try await ada.expect("quit")
        // Ctrl-C gives up the line, and without one the program ends.
        ada.type("half a li\u{3}")
        try await ada.expect("^C")
        ada.type("\u{3}")
        try await ada.expect("Bye.")
        #expect(try await ada.end() == 0)
        // A line that is drawn again begins with a carriage return.
        let drawn = ada.text.unicodeScalars.split { $0 == "\n" || $0 == "\r" }
        let wide = drawn.filter { $0.count > 24 }.map { String($0) }
        #expect(wide.isEmpty)

        let bob = try person("bob", folder)
        try await bob.expect("2 notes, 0 tasks")
        bob.type("\u{4}")
        try await bob.expect("Bye.")
        #expect(try await bob.end() == 0)
        #expect(!bob.text.contains("Shopping"))
    }

    @Test(
        "Without a terminal it obeys lines, shows no prompts and no colours, and syncs at the end of its input",
        .timeLimit(.minutes(3)))
    func script() async throws {
        try await withNotes { folder in
            let first = try await run("add Shopping\ntask 1 milk\nnonsense\nlist", "ada", folder)
            #expect(
                first == """
                    Notebook “home”: 0 notes, 0 tasks. `help` lists the commands.
                    added note 1 “Shopping”
                    added task 2 “milk”
                    no command “nonsense”; `help` lists the commands
                      1  Shopping  [0 of 1 done]
                    Everything is synced. Bye.

                    """)
            let second = try await run("sync\nshow 1\n", "bob", folder)
            #expect(second.contains("  2  [ ] milk\nEverything is synced. Bye.\n"))
            let long = String(repeating: "long ", count: 16)
            let third = try await run("rename 1 \(long)\nsync\nstatus\n", "bob", folder)
            #expect(third.contains("all changes are synced except those that `rejected` shows\n"))
            #expect(third.contains("to send: 0 changes; rejected: 1 change\n"))
            #expect(!third.contains("verything is synced"))
            #expect(third.hasSuffix("1 change rejected; all others are synced. Bye.\n"))
        }
    }

    @Test(
        "What was written a moment ago is counted, and nothing is called synced before the first exchange",
        .timeLimit(.minutes(3)))
    func counted() async throws {
        let folder =
            FileManager.default.temporaryDirectory.path + "/oversync-notes-"
            + UUID().uuidString.prefix(8)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let empty = try await run("offline\nstatus\nquit\n", "carl", folder)
        #expect(empty.contains("offline, not synced yet; `online` starts syncing again\n"))
        #expect(empty.hasSuffix("Not synced yet. Bye.\n"))
        let written = try await run("offline\nadd X\nstatus\nquit\n", "carl", folder)
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
        let ada = try person("ada", folder)
        try await ada.expect(
            "! no sync: The server cannot be reached. It is tried again by itself.")
        ada.type("add Shopping\r")
        try await ada.expect("ada (no sync, 1 to send)> ")
        kill(ada.process, SIGTERM)
        try await ada.expect("1 change will be sent next time. Bye.")
        #expect(try await ada.end() == 0)
        let again = try await run("add More\nlist", "ada", folder)
        #expect(again.contains("  1  Shopping\n"))
        #expect(again.hasSuffix("2 changes will be sent next time. Bye.\n"))
    }

    // MARK: The people

    private func withNotes(_ body: @escaping @Sendable (String) async throws -> Void) async throws {
        try await withStack({
            plan(in: $0, NotesTables.registrations, NotesTables.businessSchema)
        }) { stack in
            let certificates = URL(filePath: stack.authority).deletingLastPathComponent()
            try await body(certificates.deletingLastPathComponent().path)
        }
    }

    private func person(_ name: String, _ folder: String, columns: UInt16 = 120) throws -> Typist {
        try Typist(
            "oversync-dev", ["notes", "--as", name, "--directory", folder], columns: columns)
    }

    /// What the program prints for lines from a file. A pipe would stay open for as long as any process
    /// lives that another test starts meanwhile.
    private func run(_ lines: String, _ name: String, _ folder: String) async throws -> String {
        let (status, text) = try await runProgram(
            "oversync-dev", ["notes", "--as", name, "--directory", folder], input: lines,
            withErrors: false)
        #expect(status == 0)
        return text
    }
}
