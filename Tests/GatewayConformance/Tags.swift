import Foundation
import OverSQLite

/// What a device and a server tell each other of the changes that they know (`Oversync-History`).
enum Tags {
    private static let forked = Expected.error(
        409, "history_forked",
        "The server has lost changes that this device knows of; "
            + "download from 0 and send again what was lost")
    private static let unproven = Expected.error(
        409, "history_unproven",
        "The server no longer keeps the change that this device names as the last one it knows, "
            + "so their histories may differ; download from 0")

    static let behaviours = [
        Behaviour("Uploads and pages tell a change that later proves what the device knows") {
            talk in
            var phone = try await talk.device("phone")
            expect(try await header(phone, "sync/bootstrap"), nil, talk)
            phone.epoch = try await epoch(phone)
            let first = try await phone.response(
                "POST", "sync/upload", body: body(talk.user(1, 1), talk.user(2, 2)))
            guard let pair = first.headers["oversync-history"], pair.hasPrefix("2-") else {
                return talk.note("no pair: \(first.headers)")
            }
            // The same change, the same tag; each page of a window names the window's end.
            expect(try await header(phone, "sync/download?after=0"), pair, talk)
            expect(try await header(phone, "sync/download?after=0&limit=1"), pair, talk)
            expect(try await header(phone, "sync/bootstrap"), pair, talk)
            let earlier = try await header(phone, "sync/download?after=0&until=1")
            expect(earlier.map { String($0.prefix(2)) }, "1-", talk)
            phone.history = pair.uppercased()
            try await phone.get("sync/download?after=2", gives: .page(next: 2, until: 2))
            try await phone.upload(
                talk.user(3, 3), gives: .statuses(talk.applied(3, 1), highest: 3))
            // It goes on proving what was before.
            phone.history = earlier
            try await phone.upload(
                talk.user(4, 4), gives: .statuses(talk.applied(4, 1), highest: 4))
            try await phone.get("sync/download?after=4", gives: .page(next: 4, until: 4))
            expect(try await word(phone), "same", talk)
        },
        Behaviour("A device that knows another change, or a later one, is told so everywhere") {
            talk in
            var phone = try await talk.device("phone")
            try await phone.upload(
                talk.user(1, 1), gives: .statuses(talk.applied(1, 1), highest: 1))
            for history in ["1-0123456789abcdef", "2-0123456789abcdef"] {
                phone.history = history
                try await phone.get("sync/download?after=0", gives: forked)
                try await phone.get("sync/download?after=1&wait=30", gives: forked)
                try await phone.upload(talk.user(2, 2), gives: forked)
                expect(try await word(phone), "forked", talk)
            }
            phone.history = nil
            try await phone.get("sync/download?after=1", gives: .page(next: 1, until: 1))
            try await phone.upload(
                talk.user(2, 2), gives: .statuses(talk.applied(2, 1), highest: 2))
        },
        Behaviour("A malformed pair is refused") { talk in
            var phone = try await talk.device("phone")
            phone.history = "1-xyz"
            let refused = Expected.invalid(
                "Oversync-History must be a sequence from 1, -, and 16 hexadecimal digits, "
                    + "as an answer gave it")
            try await phone.get("sync/download?after=0", gives: refused)
            try await phone.get("sync/bootstrap", gives: refused)
            try await phone.upload(talk.user(1, 1), gives: refused)
        },
        Behaviour("A change that was compacted away proves nothing, and the last one goes on to") {
            talk in
            var phone = try await talk.device("phone")
            phone.epoch = try await epoch(phone)
            let first = try await phone.response("POST", "sync/upload", body: body(talk.user(1, 1)))
            try await phone.upload(
                talk.user(2, 1, base: 1, name: "b"), talk.user(3, 3),
                gives: .statuses(talk.applied(2, 2), talk.applied(3, 1), highest: 3))
            let last = try await phone.response(
                "POST", "sync/upload", body: body(talk.delete(4, "users", 3, base: 1)))
            try await talk.gateway.compact(talk.user("ann"))
            phone.history = first.headers["oversync-history"]
            try await phone.get("sync/download?after=0", gives: unproven)
            try await phone.upload(talk.user(9, 9), gives: unproven)
            expect(try await word(phone), "unproven", talk)
            phone.history = last.headers["oversync-history"]
            expect(try await header(phone, "sync/download?after=4"), phone.history, talk)
            expect(try await word(phone), "same", talk)
            try await phone.upload(
                talk.user(5, 5), gives: .statuses(talk.applied(5, 1), highest: 5))
            try await phone.get("sync/download?after=5", gives: .page(next: 5, until: 5))
        },
    ]

    private static func body(_ changes: String...) -> [UInt8] {
        Array(#"{"changes":[\#(changes.joined(separator: ","))]}"#.utf8)
    }

    private static func header(_ peer: WirePeer, _ path: String) async throws -> String? {
        try await peer.response("GET", path).headers["oversync-history"]
    }

    private static func epoch(_ peer: WirePeer) async throws -> String {
        try await standing(peer).epoch
    }

    /// What bootstrap says of the peer's pair.
    private static func word(_ peer: WirePeer) async throws -> String? {
        try await standing(peer).history
    }

    private static func standing(_ peer: WirePeer) async throws -> Standing {
        let answer = try await peer.response("GET", "sync/bootstrap")
        return try JSONDecoder().decode(Standing.self, from: Data(answer.body))
    }

    private struct Standing: Decodable {
        let epoch: String
        let history: String?
    }

    private static func expect(
        _ found: String?, _ wanted: String?, _ talk: Conversation, line: UInt = #line
    ) {
        if found != wanted {
            talk.note("line \(line): \(found ?? "nothing"), not \(wanted ?? "nothing")")
        }
    }
}
