import OverSQLite

/// How sync stands, in words.
struct Standing: Sendable {
    var isOffline: Bool
    var status: SyncStatus

    /// Changes that wait to be sent.
    var waiting: Int { max(0, status.pendingCount - status.rejectedCount) }

    /// What goes into the prompt; empty when all is well.
    var brief: String {
        var parts: [String] = []
        if isOffline {
            parts.append("offline")
        } else if status.lastError != nil {
            parts.append("no sync")
        } else if let progress = status.progress, !status.hasFinishedFirstSync {
            parts.append("reading \(Int(progress.fraction * 100)) %")
        }
        if waiting > 0 { parts.append("\(waiting) to send") }
        if status.rejectedCount > 0 { parts.append("\(status.rejectedCount) rejected") }
        return parts.joined(separator: ", ")
    }

    /// After an exchange.
    var outcome: String {
        if waiting > 0 { return "\(Words.changes(waiting)) could not be sent yet" }
        return settled
    }

    /// The words where nothing waits to be sent.
    private var settled: String {
        if !status.hasFinishedFirstSync { return "not synced yet" }
        return status.rejectedCount > 0
            ? "all changes are synced except those that `rejected` shows" : "everything is synced"
    }

    /// At the end.
    var farewell: String {
        if waiting > 0 { return "\(Words.changes(waiting)) will be sent next time. Bye." }
        if status.rejectedCount > 0 {
            return "\(Words.changes(status.rejectedCount)) rejected; all others are synced. Bye."
        }
        return status.hasFinishedFirstSync ? "Everything is synced. Bye." : "Not synced yet. Bye."
    }

    /// Several lines for `status`.
    var full: [String] {
        var lines = [state]
        lines.append(
            "to send: \(Words.changes(waiting)); rejected: \(Words.changes(status.rejectedCount))")
        if status.heldCount > 0 {
            let held = Words.count(status.heldCount, "row")
            let verb = status.heldCount == 1 ? "waits" : "wait"
            lines.append("\(held) from the server \(verb) for other rows")
        }
        let last = status.lastSynced.map { "at \(Words.time($0))" }
        lines.append("last synced: \(last ?? "not since the start")")
        return lines
    }

    private var state: String {
        if isOffline {
            let first = status.hasFinishedFirstSync ? "" : ", not synced yet"
            return "offline\(first); `online` starts syncing again"
        }
        if let error = status.lastError { return "no sync: \(Words.trouble(error))" }
        if let progress = status.progress {
            return
                "reading: \(Words.count(progress.appliedRows, "row")), \(Int(progress.fraction * 100)) %"
        }
        return "online, " + (waiting == 0 ? settled : "sending")
    }

    /// What to tell when sync begins to fail, or works again.
    func news(since before: Standing) -> String? {
        switch (before.status.lastError, status.lastError) {
        case (nil, let error?): "no sync: \(Words.trouble(error))"
        case (.some, nil): isOffline ? nil : "sync works again"
        default: nil
        }
    }
}

extension Words {
    /// What is wrong, and what becomes of the user's edits.
    static func trouble(_ error: SyncError) -> String {
        switch error {
        case .paused: return "you are offline; `online` starts syncing again"
        case .noCredentials(let why):
            // The sign-in is the server's: without the one there is no other.
            let same = SyncError.unreachable(why)
            return trouble(same) + " (\(printable(why)))"
        default:
            return [error.errorDescription, error.recoverySuggestion].compactMap { $0 }
                .joined(separator: " ")
        }
    }
}
