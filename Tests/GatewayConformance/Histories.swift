import Foundation
import OverSQLite

/// Where a device stands, and what becomes of it when the server has forgotten.
enum Histories {
    static let behaviours = [
        Behaviour("A device is told where it stands") { talk in
            let phone = try await talk.device("phone")
            func standing(_ isKnown: Bool, next: Int, highest: Int) -> Expected {
                Expected(
                    json:
                        #"{"known_source":\#(isKnown),"next_change_id":\#(next),"highest_server_seq":\#(highest),"floor":0,"epoch":"x"}"#
                )
            }
            try await phone.get("sync/bootstrap", gives: standing(false, next: 1, highest: 0))
            try await phone.upload(
                talk.user(41, 1), talk.user(7, 2),
                gives: .statuses(talk.applied(41, 1), talk.applied(7, 1), highest: 2))
            try await phone.get("sync/bootstrap", gives: standing(true, next: 42, highest: 2))
            let laptop = try await talk.device("laptop")
            try await laptop.get("sync/bootstrap", gives: standing(false, next: 1, highest: 2))
            // It is known from its first upload on, and the id of what was refused is free.
            try await laptop.upload(
                talk.user(9, 3, name: nil),
                gives: .statuses(
                    talk.materializeError(9, 1, "users", Refused.withoutName), highest: 2))
            try await laptop.get("sync/bootstrap", gives: standing(true, next: 1, highest: 2))
        },
        Behaviour("A request of another history is refused, one of this history is not") { talk in
            var phone = try await talk.device("phone")
            let standing = try await phone.response("GET", "sync/bootstrap")
            let epoch = try JSONDecoder().decode(Epoch.self, from: Data(standing.body)).epoch
            phone.epoch = "00000000-0000-4000-8000-00000000ffff"
            let changed = Expected.error(
                409, "epoch_changed",
                "The server's history is another one since it was restored; read /sync/bootstrap and download from 0"
            )
            try await phone.get("sync/download?after=0", gives: changed)
            try await phone.upload(talk.user(1, 1), gives: changed)
            phone.epoch = "1"
            let malformed = Expected.invalid(
                "Oversync-Epoch must be the epoch that /sync/bootstrap gave")
            try await phone.get("sync/download?after=0", gives: malformed)
            phone.epoch = epoch.uppercased()
            try await phone.upload(
                talk.user(1, 1), gives: .statuses(talk.applied(1, 1), highest: 1))
            try await phone.get("sync/download?after=1", gives: .page(next: 1, until: 1))
            try await phone.get(
                "sync/download?after=5",
                gives: .error(
                    409, "checkpoint_ahead",
                    "The cursor 5 is beyond the log's end 1: the server was restored; start from 0")
            )
        },
        Behaviour("S15, H1: a cursor before a forgotten delete is told so; from 0 all is served") {
            talk in
            let phone = try await talk.device("phone")
            let laptop = try await talk.device("laptop")
            try await phone.upload(
                talk.user(1, 1), talk.user(2, 2), talk.user(3, 3),
                gives: .statuses(
                    talk.applied(1, 1), talk.applied(2, 1), talk.applied(3, 1), highest: 3))
            try await phone.upload(
                talk.user(4, 1, base: 1, name: "b"), talk.delete(5, "users", 2, base: 1),
                gives: .statuses(talk.applied(4, 2), talk.applied(5, 2), highest: 5))
            try await talk.gateway.compact(talk.user("ann"))
            let third = talk.entry(
                3, "users", 3, "INSERT", version: 1, payload: talk.userPayload(3, "a"), by: "phone",
                3)
            let first = talk.entry(
                4, "users", 1, "INSERT", version: 2, payload: talk.userPayload(1, "b"), by: "phone",
                4)
            let pruned = Expected.error(
                410, "history_pruned",
                "Deletes before 5 are no longer kept, and the cursor is 3: start from 0")
            try await laptop.get("sync/download?after=3", gives: pruned)
            try await laptop.get("sync/download?after=5", gives: .page(next: 5, until: 5))
            try await laptop.get(
                "sync/download?after=0&limit=1", gives: .page(third, more: true, next: 3, until: 5))
            // It began at 0, so it reads on.
            try await laptop.get(
                "sync/download?after=3&limit=1&until=5", gives: .page(first, next: 5, until: 5))
            // What was forgotten is judged by its base, like a new change.
            try await phone.upload(
                talk.user(1, 1),
                gives: .statuses(
                    talk.conflict(
                        1, "users", 1, version: 2, payload: talk.userPayload(1, "b"), by: "phone", 4
                    ), highest: 5))
            try await phone.upload(
                talk.user(6, 2),
                gives: .statuses(
                    talk.conflict(6, "users", 2, version: 2, payload: nil, by: "", 0), highest: 5))
            try await phone.upload(
                talk.user(7, 2, base: 2), gives: .statuses(talk.applied(7, 3), highest: 6))
        },
    ]

    private struct Epoch: Decodable { let epoch: String }
}
