/// What a device says of itself to the people who run the server, so that they find out why it does
/// not sync. It holds no values of rows.
struct DeviceReport: Hashable, Sendable {
    /// This library and its version.
    static let library = "OverSQLite 0.1.0"
    /// Longest text of a member, in bytes.
    static let maximumTextBytes = 64
    /// Longest text of all notices, in bytes.
    static let maximumNoticesBytes = 380

    var app: String?
    var schema = ""
    var epoch: String?
    var cursor: Int64 = 0
    var pending = 0
    /// The age of the oldest pending edit, in seconds; nil if none is pending, or an older version
    /// has captured it.
    var oldest: Int64?
    var held = 0
    var rejected = 0
    /// Why most of the rejected rows are.
    var reason: String?
    /// The code of the last error; nil once sync works again.
    var error: String?
    /// Those that the server's people can do something about.
    var notices: [SyncNotice] = []
    /// The device's time, in seconds since 1970.
    var time: Int64 = 0

    /// The value of the header `Oversync-Report`: a dictionary of structured fields (RFC 9651).
    var header: String {
        var members = [Self.text("sdk", Self.library), Self.number("at", time)]
        members += [app.map { Self.text("app", $0) }, Self.text("schema", schema)]
            .compactMap(\.self)
        if let epoch { members.append(Self.text("epoch", epoch)) }
        members += [
            Self.number("cursor", cursor), Self.number("pending", Int64(pending)),
            Self.number("held", Int64(held)), Self.number("rejected", Int64(rejected)),
        ]
        if let oldest { members.append(Self.number("oldest", oldest)) }
        if let reason { members.append(Self.text("reason", reason)) }
        if let error { members.append(Self.text("error", error)) }
        let words = noticeWords
        if !words.isEmpty {
            members.append(Self.text("notices", words, most: Self.maximumNoticesBytes))
        }
        return members.joined(separator: ", ")
    }

    /// As many as have room, whole.
    private var noticeWords: String {
        var words = ""
        for notice in notices {
            let subject = notice.subject.map { ":" + $0.replacing(" ", with: "_") } ?? ""
            let word = notice.kind.rawValue + subject
            guard words.utf8.count + word.utf8.count < Self.maximumNoticesBytes else { break }
            words += (words.isEmpty ? "" : " ") + word
        }
        return words
    }

    private static func number(_ name: String, _ value: Int64) -> String {
        // Structured fields have integers of 15 digits.
        "\(name)=\(min(max(0, value), 999_999_999_999_999))"
    }

    /// What a header cannot hold becomes a question mark.
    private static func text(
        _ name: String, _ value: String, most: Int = maximumTextBytes
    ) -> String {
        let bytes = value.unicodeScalars.prefix(most).map { scalar in
            let isPlain = (0x20...0x7E).contains(scalar.value)
            let isQuoted = scalar == "\"" || scalar == "\\"
            return isPlain && !isQuoted ? UInt8(scalar.value) : UInt8(ascii: "?")
        }
        return "\(name)=\"\(String(decoding: bytes, as: UTF8.self))\""
    }
}

/// When a device says something of itself. Times are seconds since 1970.
struct ReportPace: Sendable {
    /// Between two reports with uploads.
    static let uploadPause = 30.0
    /// Between two reports with other requests.
    static let pause = 300.0

    private var last: Double?

    /// A clock that was set back makes a report due, too.
    func isDue(withUpload isUpload: Bool, now: Double) -> Bool {
        guard let last else { return true }
        return abs(now - last) >= (isUpload ? Self.uploadPause : Self.pause)
    }

    mutating func record(at now: Double) { last = now }
}

extension SyncError {
    /// A name for reports: that of the case, or the server's code. It quotes nothing.
    var code: String {
        switch self {
        case .unusableTable: "unusable_table"
        case .newerMetadata: "newer_metadata"
        case .unreachable: "unreachable"
        case .notTheGateway: "not_the_gateway"
        case .unauthorized: "unauthorized"
        case .noCredentials: "no_credentials"
        case .busy: "busy"
        case .refused(_, let code, _): code
        case .differentUser: "different_user"
        case .pendingChanges: "pending_changes"
        case .noProgress: "no_progress"
        case .database: "database"
        case .diskFull: "disk_full"
        case .databaseCorrupt: "database_corrupt"
        case .damagedMetadata: "damaged_metadata"
        case .deviceUsedUp: "device_used_up"
        case .databaseClosed: "database_closed"
        case .alreadyRunning: "already_running"
        case .paused: "paused"
        case .stopped: "stopped"
        }
    }
}
