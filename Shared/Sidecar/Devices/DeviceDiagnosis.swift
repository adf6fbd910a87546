import Foundation
import Model
import Postgres
import WireJSON

/// Why a device does not sync, as far as the server can tell, with what to do about it.
package struct DeviceDiagnosis: Hashable, Sendable {
    /// One cause. Codes stay as they are: scripts compare them.
    package struct Finding: Hashable, Sendable {
        package let code: String
        package let text: String
        /// What to do next.
        package let next: String

        init(_ code: String, text: String, next: String) {
            (self.code, self.text, self.next) = (code, text, next)
        }

        package var document: JSONDocument {
            ["code": .string(code), "text": .string(text), "next": .string(next)]
        }
    }

    /// A device that has others' changes before it and has said nothing for so long is away.
    static let awaySeconds: Int64 = 15 * 60
    /// What a download takes, at most: changes older than this before a report should be in it.
    static let readingSeconds: Int64 = 60
    /// What clocks may differ by.
    static let clockSeconds: Int64 = 60
    /// An edit that is pending for longer is stuck.
    static let pendingSeconds: Int64 = 15 * 60

    package let facts: DeviceFacts
    /// What holds it up most comes first. Never empty: `nothing_wrong` says that nothing is found.
    package let findings: [Finding]

    package init(_ facts: DeviceFacts) {
        self.facts = facts
        var found = Self.access(facts) + Self.history(facts) + Self.tables(facts)
        found += Self.rows(facts) + Self.clock(facts) + Self.progress(facts)
        if found.isEmpty { found = [Self.nothing(facts)] }
        findings = found
    }

    /// Whether nothing is wrong.
    package var isFine: Bool {
        findings.allSatisfy { ["nothing_wrong", "no_report"].contains($0.code) }
    }

    /// Why the device is not let in.
    private static func access(_ facts: DeviceFacts) -> [Finding] {
        var found: [Finding] = []
        if let revoked = facts.revoked {
            found.append(
                Finding(
                    "revoked",
                    text: "Its access was taken away \(ago(revoked, facts)).",
                    next: "If it may sync again, restore it: oversync devices restore. "
                        + "The audit says who revoked it."))
        }
        // A device that came with a good token since then has another one by now.
        let lastGood = max(facts.reported ?? 0, facts.lastUpload ?? 0)
        if let rejected = facts.tokenRejected, rejected >= lastGood {
            let cause = facts.rejection ?? "unknown"
            found.append(
                Finding(
                    "token_rejected",
                    text: "Its token was rejected \(ago(rejected, facts)): \(words(for: cause)).",
                    next: cause == "expired"
                        ? "The app must get a new token: let the user sign in again, and see that "
                            + "the app's credentials return fresh tokens."
                        : "See Docs/runbooks/tokens-rejected.md for \(cause)."))
        }
        return found
    }

    private static func words(for cause: String) -> String {
        switch cause {
        case "expired": "it has expired"
        case "early": "it is not valid yet, so a clock is wrong"
        case "issuer": "another issuer signed it"
        case "audience": "it is for another audience"
        case "lifetime": "it would be valid for too long"
        default: cause
        }
    }

    private static func history(_ facts: DeviceFacts) -> [Finding] {
        guard let epoch = facts.report?.epoch, epoch.lowercased() != facts.epoch.lowercased()
        else { return [] }
        return [
            Finding(
                "old_epoch",
                text: "It last belonged to the epoch \(epoch), and the server is at "
                    + "\(facts.epoch).",
                next: "It reads everything again when it comes next, and keeps its edits. If it "
                    + "does come and stays there, ask for its report (engine.report()).")
        ]
    }

    private static func tables(_ facts: DeviceFacts) -> [Finding] {
        guard let report = facts.report else { return [] }
        if let schema = report.schema, facts.registeredTables == 0, facts.removedTables.isEmpty {
            let name = schema.isEmpty ? "public" : schema
            return [
                Finding(
                    "wrong_schema",
                    text: "It asks for the schema \(name), in which no table is registered.",
                    next: "Set the schema in the app's SyncConfiguration to that of the "
                        + "registered tables: oversync tables.")
            ]
        }
        let unserved = report.subjects(of: "unserved_table")
        let isKnown = report.subjects(of: "unknown_schema").isEmpty
        // If its edits are refused because of it, or no table of the device is served, the device
        // names none.
        let isAnyOfThem = !isKnown || report.reason == "unregistered_table"
        let removed =
            isAnyOfThem
            ? facts.removedTables : unserved.filter(Set(facts.removedTables).contains)
        if !removed.isEmpty {
            return [
                Finding(
                    "table_removed",
                    text: "It syncs \(removed.sorted().joined(separator: ", ")), which is no "
                        + "longer registered: it gets no changes of it, and its edits wait.",
                    next: "Register the table again (oversync.yaml, oversync migrate), or release "
                        + "an app without it.")
            ]
        }
        if unserved.isEmpty, isKnown { return [] }
        return [
            Finding(
                "table_unserved",
                text: "It syncs tables that the server does not serve to this user: "
                    + "\(unserved.isEmpty ? "all of them" : unserved.joined(separator: ", ")).",
                next: "Register them, or check the roles of the user's tokens against read in "
                    + "oversync.yaml.")
        ]
    }

    private static func rows(_ facts: DeviceFacts) -> [Finding] {
        var found: [Finding] = []
        let told = facts.report?.rejected ?? 0
        if facts.failures > 0 {
            found.append(
                Finding(
                    "rejected_rows",
                    text: "\(count(facts.failures, "change")) of it \(isAre(facts.failures)) "
                        + "rejected by business tables, the newest by "
                        + "\(facts.failedTable ?? "a table") (SQLSTATE \(facts.sqlState ?? "")).",
                    next: "Remove the cause that the rejected change names, then retry it: "
                        + "oversync failures list, oversync failures retry."))
        } else if told > 0 {
            found.append(
                Finding(
                    "rejected_rows",
                    text: "It says that \(count(told, "row")) of it \(isAre(told)) rejected, most "
                        + "of them as \(facts.report?.reason ?? "unknown").",
                    next: "The app must correct or discard them: engine.rejectedChanges names "
                        + "them; Troubleshooting in the SDK's pages explains each reason."))
        }
        if let held = facts.report?.held, held > 0 {
            found.append(
                Finding(
                    "held_rows",
                    text: "It has downloaded \(count(held, "row")) that it cannot apply yet.",
                    next: "engine.heldRows names what each waits for: a missing parent, a "
                        + "constraint of the device's own table, or an edit without an answer."))
        }
        return found
    }

    private static func clock(_ facts: DeviceFacts) -> [Finding] {
        guard let ahead = facts.report?.clockAheadSeconds, ahead.magnitude > clockSeconds else {
            return []
        }
        let amount = count(Int64(clamping: ahead.magnitude), "second")
        return [
            Finding(
                "clock",
                text: "Its clock is \(amount) \(ahead > 0 ? "ahead of" : "behind") the server's.",
                next: "Set the device's clock: tokens and retries go by time.")
        ]
    }

    private static func progress(_ facts: DeviceFacts) -> [Finding] {
        guard let reported = facts.reported, let report = facts.report else { return [] }
        var found: [Finding] = []
        if let error = report.error {
            found.append(
                Finding(
                    "last_error", text: "Its last error was \(error).",
                    next: "Look it up in Docs/runbooks/stuck-device.md, or ask for the device's "
                        + "report (engine.report())."))
        }
        let rejected = report.rejected ?? 0
        if let oldest = report.oldestPendingSeconds, oldest > pendingSeconds,
            report.pending ?? 0 > rejected, report.error == nil
        {
            found.append(
                Finding(
                    "pending",
                    text: "\(count(report.pending ?? 0, "edit")) waited to be sent, the oldest "
                        + "for \(count(oldest, "second")).",
                    next: "If it comes again and they stay, ask for the device's report."))
        }
        let isAway = facts.now - reported > awaySeconds
        let isSlow = facts.waitingSince.map { $0 < reported - readingSeconds } ?? false
        if facts.waiting > 0, isAway || isSlow {
            let most = facts.waiting >= DeviceReports.ReadFacts.maximumWaiting ? "at least " : ""
            found.append(
                Finding(
                    "behind",
                    text: "It has read its log to \(report.cursor ?? 0) of \(facts.logEnd): "
                        + "\(most)\(count(facts.waiting, "change")) of others "
                        + "\(isAre(facts.waiting)) before it. "
                        + "It last came \(ago(reported, facts)).",
                    next: isAway
                        ? "Open the app with a network: it has not come since."
                        : "It comes, and does not get on: ask for the device's report."))
        }
        return found
    }

    private static func nothing(_ facts: DeviceFacts) -> Finding {
        guard let reported = facts.reported else {
            return Finding(
                "no_report",
                text: "The server finds nothing wrong, and the device says nothing of itself: it "
                    + "has an older client, or its app has switched reports off.",
                next: "Ask for the device's report (engine.report()).")
        }
        return Finding(
            "nothing_wrong",
            text: "Nothing is wrong: it last came \(ago(reported, facts)), with nothing pending "
                + "for long, rejected or held.",
            next: "If rows are missing in the app, let it compare them: engine.verify().")
    }

    private static func ago(_ time: Int64, _ facts: DeviceFacts) -> String {
        let seconds = max(0, facts.now - time)
        let units: [(String, Int64)] = [("day", 86_400), ("hour", 3600), ("minute", 60)]
        for (name, length) in units where seconds >= length {
            return "\(count(seconds / length, name)) ago"
        }
        return "\(count(seconds, "second")) ago"
    }

    private static func count(_ number: Int64, _ name: String) -> String {
        "\(number) \(name)\(number == 1 ? "" : "s")"
    }

    private static func isAre(_ number: Int64) -> String { number == 1 ? "is" : "are" }

    // MARK: - As JSON

    /// What `/admin/devices/explain` answers, and `oversync devices explain --json` prints.
    package func document(of place: DevicePlace) -> JSONDocument {
        [
            "user_id": .string(place.user.value), "source_id": .string(place.device.value),
            "is_fine": .bool(isFine), "findings": .array(findings.map(\.document)),
            "log_end": .integer(facts.logEnd),
            "waiting": .integer(facts.waiting),
            "rejected_changes": .integer(facts.failures),
            "reported": facts.reported.map { .string(Self.time($0)) },
            "last_upload": facts.lastUpload.map { .string(Self.time($0)) },
            "revoked": facts.revoked.map { .string(Self.time($0)) },
            "token_rejected": facts.tokenRejected.map { .string(Self.time($0)) },
        ]
    }

    private static func time(_ seconds: Int64) -> String {
        Date(timeIntervalSince1970: TimeInterval(seconds)).formatted(.iso8601)
    }
}

extension Devices {
    /// Why a device does not sync.
    ///
    /// - Returns: nil for a device that was never heard of.
    package static func explain(
        _ place: DevicePlace, on connection: PostgresConnection,
        deadline: ContinuousClock.Instant? = nil
    ) async throws(PostgresError) -> DeviceDiagnosis? {
        try await connection.run(DeviceReports.ReadFacts(place: place), deadline: deadline)
            .first().map(DeviceDiagnosis.init)
    }
}
