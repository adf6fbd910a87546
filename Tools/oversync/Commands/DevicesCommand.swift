import ArgumentParser
import Foundation
import Model
import OperatorKit
import ServiceKit
import Sidecar
import Telemetry
import WireJSON

/// `oversync devices`: who syncs, and who may no more.
struct DevicesCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "devices",
        abstract: "Lists devices, says why one does not sync, and takes or gives access.",
        subcommands: [List.self, Explain.self, Revoke.self, Restore.self])

    struct List: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "Lists the devices that have uploaded, were named or revoked.",
            discussion: "With --json: one object a line, times as in RFC 3339.")

        @Option(help: "Only this user's devices.")
        var user: String?
        @Flag(help: "Print JSON, one device a line.")
        var json = false
        @OptionGroup var database: MigrateCommand.Database

        func run() async throws {
            try await withConnection(to: try database.resolve()) { connection in
                var last: DevicePlace?
                while true {
                    let page = try await Devices.list(
                        of: user.map { UserID($0) }, after: last, limit: Devices.maximumPerPage,
                        on: connection)
                    for device in page {
                        print(json ? try device.json : device.line)
                    }
                    guard page.count == Devices.maximumPerPage, let end = page.last else { return }
                    last = DevicePlace(user: end.user, device: end.device)
                }
            }
        }
    }

    struct Explain: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "explain",
            abstract: "Says why a device does not sync, and what to do next.",
            discussion: """
                It goes by what the server knows, and by what the device said of itself last: with \
                uploads, and otherwise at most every five minutes. Exits with 1 if something is \
                wrong. See Docs/console.md.
                """)

        @Argument(help: "The user: the sub of its tokens.")
        var user: String
        @Argument(help: "The device: the did of its tokens.")
        var device: String
        @OptionGroup var output: OutputOptions
        @OptionGroup var database: MigrateCommand.Database

        func run() async throws {
            let place = DevicePlace(user: UserID(user), device: DeviceID(device))
            let diagnosis = try await withConnection(to: try database.resolve()) {
                try await Devices.explain(place, on: $0)
            }
            guard let diagnosis else {
                throw StackError(
                    "the server has never heard of the device \(printable(device)) of "
                        + "\(printable(user)): see oversync devices list; look at the names, its "
                        + "token, and the gateway's address in the app")
            }
            if output.json {
                print(diagnosis.document(of: place).text)
            } else {
                for finding in diagnosis.findings {
                    print("\(finding.code): \(printable(finding.text))")
                    print("  next: \(printable(finding.next))")
                }
            }
            if !diagnosis.isFine { throw ExitCode(1) }
        }
    }

    struct Revoke: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "revoke",
            abstract: "Takes a device's access away, whatever its token says.",
            discussion: """
                It is refused with device_revoked (403) within a second; its watches and long \
                polls end. What it wrote stays. A device that never came can be revoked, too. \
                Recorded in the audit.
                """)

        @OptionGroup var target: Target

        func run() async throws { try await target.setAccess(false) }
    }

    struct Restore: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "restore",
            abstract: "Gives a revoked device its access back: it goes on where it was.")

        @OptionGroup var target: Target

        func run() async throws { try await target.setAccess(true) }
    }

    /// The device that a command is about.
    struct Target: ParsableArguments {
        @Option(help: "The user: the sub of its tokens.")
        var user: String
        @Option(help: "The device: the did of its tokens.")
        var device: String
        @OptionGroup var database: MigrateCommand.Database

        func validate() throws {
            guard isIdentity(user), isIdentity(device) else {
                throw ValidationError(
                    "--user and --device must have 1 to \(WireLimits.maximumIdentityBytes) bytes "
                        + "and no control characters")
            }
        }

        func setAccess(_ mayAccess: Bool) async throws {
            let place = DevicePlace(user: UserID(user), device: DeviceID(device))
            let changed = try await withConnection(to: try database.resolve()) { connection in
                try await AuditTrail.ofThisTerminal.recordingFailure(
                    of: mayAccess ? .restoreDevice : .revokeDevice, to: "\(user)/\(device)",
                    on: connection
                ) {
                    try await Devices.setAccess(
                        mayAccess, of: place, by: .thisTerminal, on: connection)
                }
            }
            guard let changed else {
                throw StackError(
                    "the user \(printable(user)) has no device \(printable(device)): "
                        + "see oversync devices list"
                )
            }
            print(changed.line)
        }
    }
}

/// `oversync users`: what is known of a user.
struct UsersCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "users", abstract: "Shows what is known of a user.",
        subcommands: [Show.self, Hash.self])

    struct Show: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "show",
            abstract: "Prints a user's log, devices and rejected changes.")

        @Argument(help: "The user: the sub of its tokens.")
        var user: String
        @Flag(help: "Print JSON.")
        var json = false
        @OptionGroup var database: MigrateCommand.Database

        func run() async throws {
            let (summary, quotas) = try await withConnection(to: try database.resolve()) {
                (
                    try await Devices.summary(of: UserID(user), on: $0),
                    try await Devices.quotas(on: $0)
                )
            }
            guard let summary else {
                throw StackError(
                    "the user \(printable(user)) is not known: "
                        + "no device has uploaded, was named or revoked")
            }
            print(
                json ? try summary.json(of: user, quotas) : summary.text(of: user, quotas))
        }
    }
}

extension UsersCommand {
    struct Hash: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "hash",
            abstract: "Prints what stands for a user in the logs.",
            discussion: """
                With the secret of the services: OVERSYNC_LOG_SECRET, or the file that \
                OVERSYNC_LOG_SECRET_FILE names.
                """)

        @Argument(help: "The user: the sub of its tokens.")
        var user: String

        func run() throws {
            let secret = try Configuration().optional(CommonSettings.logSecret)
            if secret == nil {
                FileHandle.standardError.write(
                    Data(
                        ("OVERSYNC_LOG_SECRET is not set: with one, services log another hash\n")
                            .utf8))
            }
            print(LogSecret(secret).hash(user))
        }
    }
}

extension Device {
    fileprivate var line: String {
        let uploaded = lastUpload.map { "last upload \(timestamp($0))" } ?? "no changes in the log"
        let access = revoked.map { "revoked \(timestamp($0))" } ?? "may sync"
        return "\(printable(user.value))  \(printable(device.value))  \(access)  \(uploaded)"
            + "  last change id \(lastChangeID)  since \(timestamp(firstSeen))\(told)"
    }

    /// What it said of itself last.
    private var told: String {
        guard let reported, let report = report.flatMap(StoredReport.init(json:)) else { return "" }
        let counts = [
            ("pending", report.pending), ("rejected", report.rejected), ("held", report.held),
        ].compactMap { name, count in count.map { "\($0) \(name)" } }
        let read = report.cursor.map { ["read to \($0) of \(logEnd)"] } ?? []
        return "  as of \(timestamp(reported)): \((read + counts).joined(separator: ", "))"
    }

    private struct Document: Encodable {
        let user: String
        let device: String
        let last_change_id: Int64
        let first_seen: String
        let last_upload: String?
        let revoked: String?
        let reported: String?
        let report: StoredReport?
        let token_rejected: String?
        let rejection: String?
        let log_end: Int64
    }

    fileprivate var json: String {
        get throws {
            try jsonText(
                Document(
                    user: user.value, device: device.value, last_change_id: lastChangeID,
                    first_seen: timestamp(firstSeen), last_upload: lastUpload.map(timestamp),
                    revoked: revoked.map(timestamp), reported: reported.map(timestamp),
                    report: report.flatMap(StoredReport.init(json:)),
                    token_rejected: tokenRejected.map(timestamp), rejection: rejection,
                    log_end: logEnd))
        }
    }
}

extension UserSummary {
    fileprivate func text(of user: String, _ quotas: UserQuotas) -> String {
        func of(_ quota: Int64?) -> String { quota.map { " of \($0)" } ?? ", no quota" }
        let writing = devices - revokedDevices
        return """
            user              \(printable(user))
            last sequence     \(lastSequence)
            compacted up to   \(floor)
            rows              \(hasMoreRows ? "at least " : "")\(rows)\(of(quotas.rows))
            bytes             \(used)\(of(quotas.bytes))\(bytes == nil ? since : "")
            devices           \(writing)\(of(quotas.devices)), and \(revokedDevices) revoked
            rejected changes  \(rejectedChanges)
            """
    }

    /// Quotas are counted before an upload is decided, so the count is one upload behind.
    private var used: String { (bytes ?? countedBytes).map { "\($0)" } ?? "not counted" }

    private var since: String {
        countedSequence.map {
            "; counted up to sequence \($0), the next upload counts what came later"
        } ?? ""
    }

    private struct Document: Encodable {
        let user: String
        let last_sequence: Int64
        let floor: Int64
        let devices: Int64
        let revoked_devices: Int64
        let rejected_changes: Int64
        let rows: Int64
        let more_rows: Bool?
        let bytes: Int64?
        let counted_bytes: Int64?
        let counted_sequence: Int64?
        let row_quota: Int64?
        let byte_quota: Int64?
        let device_quota: Int64?
    }

    fileprivate func json(of user: String, _ quotas: UserQuotas) throws -> String {
        try jsonText(
            Document(
                user: user, last_sequence: lastSequence, floor: floor, devices: devices,
                revoked_devices: revokedDevices, rejected_changes: rejectedChanges, rows: rows,
                more_rows: hasMoreRows ? true : nil, bytes: bytes, counted_bytes: countedBytes,
                counted_sequence: countedSequence, row_quota: quotas.rows,
                byte_quota: quotas.bytes,
                device_quota: quotas.devices))
    }
}

/// - Parameter seconds: since 1970.
/// - Returns: as in RFC 3339, in UTC.
private func timestamp(_ seconds: Int64) -> String {
    Date(timeIntervalSince1970: TimeInterval(seconds)).formatted(.iso8601)
}

private func jsonText(_ document: some Encodable) throws -> String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    return String(decoding: try encoder.encode(document), as: UTF8.self)
}
