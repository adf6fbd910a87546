import DevStack
import Foundation
import GRDB
import OperatorKit
import OverSQLite
import UnixSignals

/// Notes and tasks of one user on several devices, each with its own file: an example of an app on
/// OverSQLite.
///
/// The commands write ordinary rows (`Edits`), and the engine syncs them. Changes of other devices are
/// found by reading the rows again whenever GRDB reports a change (`Arrivals`).
package actor NotesApp {
    /// Something to deal with, one after the other.
    enum Event: Sendable {
        /// From the keyboard, a file, or a pipe; nil is the end.
        case input([UInt8]?)
        /// Rows have changed, by this app or by a sync.
        case rowsChanged
        case status(SyncStatus)
        case sync(SyncEvent)
        /// `sync` has ended.
        case synced(SyncError?)
        case asked(toStop: UnixSignal)
    }

    /// What follows from an event.
    enum Next {
        case goOn, sync, quit
    }

    let options: NotesOptions
    let database: DatabasePool
    let engine: SyncEngine
    private let transport: StackTransport
    var screen: Screen
    private var editor = LineEditor()
    /// Bytes of a line that has no end yet, where nobody edits lines.
    private var unfinished: [UInt8] = []
    var standing: Standing
    /// The notes as the user has seen them.
    var seen = Notebook()

    package init(_ options: NotesOptions) throws {
        self.options = options
        let folder = URL(filePath: options.path).deletingLastPathComponent()
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        database = try DatabasePool(path: options.path)
        try database.write { try $0.execute(sql: NotesTables.deviceSchema) }
        transport = StackTransport(stack: options.address)
        let signIn = DevelopmentSignIn(
            stack: options.address, user: options.user, device: options.device)
        guard let gateway = URL(string: StackTransport.placeholder) else {
            throw StackError("\(StackTransport.placeholder) is not a URL")
        }
        var configuration = SyncConfiguration(gateway: gateway, schema: NotesTables.schema)
        configuration.transport = transport
        // The later device shows the other's value, and can restore its own.
        configuration.conflictPolicy = .fieldwise(clash: .server, deletion: .editWins)
        engine = try SyncEngine(
            for: database, tables: NotesTables.synced, configuration: configuration,
            credentials: { try await signIn.token() })
        screen = Screen(terminal: Terminal())
        standing = Standing(isOffline: options.isOffline, status: engine.status)
    }

    /// Runs until the user quits or the input ends.
    package func run() async throws {
        try await screen.terminal.withKeys { try await live() }
        try await transport.shutdown()
    }

    private func live() async throws {
        let (events, feed) = AsyncStream.makeStream(of: Event.self)
        let changes = DatabaseRegionObservation(tracking: Table("notes"), Table("tasks"))
            .start(in: database, onError: { _ in }, onChange: { _ in feed.yield(.rowsChanged) })
        defer { changes.cancel() }
        let (syncEvents, statuses) = (engine.events, engine.statusUpdates)
        try await greet()
        await withTaskGroup(of: Void.self) { group in
            group.addTask { for await event in syncEvents { feed.yield(.sync(event)) } }
            group.addTask { for await status in statuses { feed.yield(.status(status)) } }
            group.addTask {
                for await signal in await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
                {
                    feed.yield(.asked(toStop: signal))
                }
            }
            screen.terminal.readInput { feed.yield(.input($0)) }
            loop: for await event in events {
                switch await handle(event) {
                case .quit: break loop
                case .sync: group.addTask { feed.yield(.synced(await self.exchange())) }
                case .goOn: break
                }
                showPrompt()
            }
            group.cancelAll()
        }
        try await leave()
    }

    private func greet() async throws {
        seen = try await database.write { try Notebook.read($0) }
        screen.say(
            "Notes of \(Words.quoted(options.user)): \(Words.count(seen.notes.count, "note")), "
                + "\(Words.count(seen.tasks.count, "task")). `help` lists the commands.")
        // Settled while this program was not running.
        for report in try await engine.settledConflicts { try await tell(.conflict(report)) }
        if options.isOffline { engine.pause() }
        try await engine.start()
    }

    private func handle(_ event: Event) async -> Next {
        do {
            switch event {
            case .input(let bytes): return await take(bytes)
            case .rowsChanged: try await look()
            case .status(let status): notice(status)
            case .sync(let event): try await tell(event)
            case .synced(let error): tellSynced(error)
            case .asked: return .quit
            }
        } catch {
            screen.say("! \(Words.printable("\(error)"))", .warning)
        }
        return screen.isOpen ? .goOn : .quit
    }

    func showPrompt() { screen.show(prompt: prompt, editor) }

    private var prompt: String {
        let brief = standing.brief
        return options.device + (brief.isEmpty ? "> " : " (\(brief))> ")
    }

    // MARK: Input

    private func take(_ bytes: [UInt8]?) async -> Next {
        screen.terminal.isInteractive ? await edit(bytes) : await read(bytes)
    }

    private func edit(_ bytes: [UInt8]?) async -> Next {
        guard let bytes else { return .quit }
        var next = Next.goOn
        for action in editor.take(bytes) {
            switch action {
            case .line(let line):
                screen.leave(prompt, line)
                let following = await obey(line)
                if following == .quit { return .quit }
                if following == .sync { next = .sync }
            case .interrupt(wasEmpty: false): screen.say("^C", .quiet)
            case .interrupt, .end: return .quit
            }
        }
        return next
    }

    /// Lines of a file or a pipe: each is obeyed to its end before the next.
    private func read(_ bytes: [UInt8]?) async -> Next {
        unfinished += bytes ?? [0x0A]
        while let end = unfinished.firstIndex(of: 0x0A) {
            let line = String(decoding: unfinished[..<end], as: UTF8.self)
            unfinished.removeSubrange(...end)
            switch await obey(line.trimmingCharacters(in: .controlCharacters)) {
            case .quit: return .quit
            case .sync: tellSynced(await exchange())
            case .goOn: break
            }
        }
        return bytes == nil ? .quit : .goOn
    }
}
