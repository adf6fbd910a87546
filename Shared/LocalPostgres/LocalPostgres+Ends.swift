import Foundation

extension LocalPostgres {
    /// Copies this running cluster into another directory and starts the copy as a hot standby, which follows this one.
    package func startStandby(directory: String) async throws -> LocalPostgres {
        let standby = try await LocalPostgres(directory: directory, settings: settings)
        try await user.run(
            try Shell.find("pg_basebackup"),
            [
                "-D", standby.paths.data, "--write-recovery-conf", "--checkpoint=fast",
                "-h", paths.sockets, "-U", user.role,
            ])
        try await standby.start()
        return standby
    }

    /// Promotes this running standby and puts it in the place of its dead primary, where that one's
    /// clients find it. The primary's files go; it goes on as what this one was.
    package func promote(inPlaceOf primary: LocalPostgres) async throws {
        try await user.run(control, ["-D", paths.data, "-w", "-s", "promote"])
        try await stop()
        try FileManager.default.removeItem(atPath: primary.paths.data)
        try FileManager.default.moveItem(atPath: paths.data, toPath: primary.paths.data)
        try? FileManager.default.removeItem(atPath: paths.sockets)
        try FileManager.default.removeItem(atPath: directory)
        try await primary.start()
    }

    /// How long processes may take to disappear, or to stop, after the signal.
    private static let deathPatience = Duration.seconds(10)
    private static let deathPoll = Duration.milliseconds(5)

    /// Kills the server and all its backends with SIGKILL, as losing the machine's power would.
    ///
    /// Returns when they are gone, so that ``start()`` can follow at once.
    package func kill() async throws {
        guard let server = process else { return }
        let family = [server] + Self.children(of: server)
        for id in family { _ = Foundation.kill(id, SIGKILL) }
        try await wait("will not die") { !family.contains(where: Self.isAlive) }
    }

    private func wait(_ reason: String, until isDone: () -> Bool) async throws {
        let end = ContinuousClock.now + Self.deathPatience
        while !isDone() {
            if ContinuousClock.now > end {
                throw LocalPostgresError.unusable(path: directory, reason: reason)
            }
            // They are not children of this process: the kernel tells it nothing about them.
            try await Task.sleep(for: Self.deathPoll)
        }
    }

    /// Stops the server and all its back ends where they are, as on a machine that hangs:
    /// connections stay open, and nothing answers until ``thaw()``.
    ///
    /// Returns when they have stopped: on busy processors that takes a while after the signal.
    package func freeze() async throws {
        guard let server = process else { return }
        // It starts no back end after this.
        try await stop([server])
        try await stop(Self.children(of: server))
    }

    private func stop(_ family: [Int32]) async throws {
        for id in family { _ = Foundation.kill(id, SIGSTOP) }
        try await wait("will not stop") { family.allSatisfy { Self.state(of: $0) == "T" } }
    }

    /// Lets a frozen server go on. It must, before anything can end it.
    package func thaw() {
        guard let server = process else { return }
        for id in Self.children(of: server) + [server] { _ = Foundation.kill(id, SIGCONT) }
    }

    /// Leaves a guard that stops the server when this process ends, however it ends.
    ///
    /// The guard is a shell in a session of its own that waits for the end of a stream whose other
    /// end only this process holds.
    /// - Parameter removingFiles: also delete the cluster.
    package func stopWhenThisProcessEnds(removingFiles: Bool) throws {
        let ends = try Shell.makePipe()
        let stop = try user.command(control, ["-D", paths.data, "-s", "-m", "immediate", "stop"])
        let removal = removingFiles ? #"; rm -rf -- "$1" "$2""# : ""
        let script = #"cd /; read -r _; "${@:3}" >/dev/null 2>&1"# + removal
        let command = [try Shell.find("setsid"), try Shell.find("bash"), "-c", script, "guardian"]
        let arguments = [directory, paths.sockets, stop.0] + stop.1
        _ = try Shell.spawn(command + arguments, input: ends.read)
        close(ends.read)
        // The end for writing stays open, unused, until the kernel closes it with the process.
    }

    private static func children(of id: Int32) -> [Int32] {
        let path = "/proc/\(id)/task/\(id)/children"
        let text = (try? String(contentsOfFile: path, encoding: .utf8)) ?? ""
        return text.split(separator: " ").compactMap { Int32($0) }
    }

    /// A zombie that nobody has collected yet counts as dead.
    private static func isAlive(_ id: Int32) -> Bool {
        guard let state = state(of: id) else { return false }
        return state != "Z" && state != "X"
    }

    /// The kernel's letter for a process's state; nil if there is no such process.
    private static func state(of id: Int32) -> Character? {
        let stat = try? String(contentsOfFile: "/proc/\(id)/stat", encoding: .utf8)
        return stat?.split(separator: ")").last?.first { $0 != " " }
    }
}
