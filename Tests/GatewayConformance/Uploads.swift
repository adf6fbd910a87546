/// Changes that are applied, repeated, or meet another's.
enum Uploads {
    static let behaviours = [
        Behaviour("A new row is applied once and reaches other devices") { talk in
            let phone = try await talk.device("phone")
            let laptop = try await talk.device("laptop")
            try await phone.upload(
                talk.user(1, 1), gives: .statuses(talk.applied(1, 1), highest: 1))
            let entry = talk.entry(
                1, "users", 1, "INSERT", version: 1, payload: talk.userPayload(1, "a"), by: "phone",
                1)
            try await laptop.get(
                "sync/download?after=0", gives: .page(entry, next: 1, until: 1))
            try await phone.get("sync/download?after=0", gives: .page(next: 1, until: 1))
            try await phone.get(
                "sync/download?after=0&include_self=true", gives: .page(entry, next: 1, until: 1))
            try await phone.get(
                "sync/download?after=0&include_self=1", gives: .page(next: 1, until: 1))
        },
        Behaviour(
            "V2, H4: a repeat is applied with its own version, also when the row has moved on"
        ) {
            talk in
            let phone = try await talk.device("phone")
            try await phone.upload(
                talk.user(1, 1), gives: .statuses(talk.applied(1, 1), highest: 1))
            for op in ["INSERT", "UPDATE"] {
                try await phone.upload(
                    talk.user(1, 1, op: op), gives: .statuses(talk.applied(1, 1), highest: 1))
            }
            try await phone.upload(
                talk.user(2, 1, base: 1, name: "b"),
                gives: .statuses(talk.applied(2, 2), highest: 2))
            try await phone.upload(
                talk.user(1, 1), gives: .statuses(talk.applied(1, 1), highest: 2))
            // Another device's id of the same number is another change.
            let laptop = try await talk.device("laptop")
            try await laptop.upload(
                talk.user(1, 1),
                gives: .statuses(
                    talk.conflict(
                        1, "users", 1, version: 2, payload: talk.userPayload(1, "b"), by: "phone", 2
                    ), highest: 2))
        },
        Behaviour(
            "V3: an edit under a used id is its successor while the row is as it made it, else it is judged by its base"
        ) { talk in
            let phone = try await talk.device("phone")
            try await phone.upload(
                talk.user(1, 1), gives: .statuses(talk.applied(1, 1), highest: 1))
            try await phone.upload(
                talk.user(1, 1, name: "b"), gives: .statuses(talk.applied(1, 2), highest: 2))
            // Both contents are known under the id now.
            try await phone.upload(
                talk.user(1, 1), gives: .statuses(talk.applied(1, 1), highest: 2))
            try await phone.upload(
                talk.user(2, 1, base: 2, name: "c"),
                gives: .statuses(talk.applied(2, 3), highest: 3))
            try await phone.upload(
                talk.user(1, 1, base: 2, name: "d"),
                gives: .statuses(
                    talk.conflict(
                        1, "users", 1, version: 3, payload: talk.userPayload(1, "c"), by: "phone", 2
                    ), highest: 3))
            try await phone.upload(
                talk.user(1, 1, base: 3, name: "d"),
                gives: .statuses(talk.applied(1, 4), highest: 4))
            // Of another row, an id says nothing about this one.
            try await phone.upload(
                talk.user(1, 2), gives: .statuses(talk.applied(1, 1), highest: 5))
        },
        Behaviour("A conflict shows the row as it is, deleted or not") { talk in
            let phone = try await talk.device("phone")
            let laptop = try await talk.device("laptop")
            try await phone.upload(
                talk.user(7, 1), gives: .statuses(talk.applied(7, 1), highest: 1))
            let row = talk.conflict(
                3, "users", 1, version: 1, payload: talk.userPayload(1, "a"), by: "phone", 7)
            for base in [0, 2] {
                try await laptop.upload(
                    talk.user(3, 1, base: base, name: "b"), gives: .statuses(row, highest: 1))
            }
            try await laptop.upload(
                talk.delete(3, "users", 1, base: 5), gives: .statuses(row, highest: 1))
            try await phone.upload(
                talk.delete(8, "users", 1, base: 1),
                gives: .statuses(talk.applied(8, 2), highest: 2))
            let gone = talk.conflict(4, "users", 1, version: 2, payload: nil, by: "phone", 8)
            try await laptop.upload(
                talk.user(4, 1, base: 1), gives: .statuses(gone, highest: 2))
            try await laptop.upload(
                talk.delete(4, "users", 1, base: 1), gives: .statuses(gone, highest: 2))
        },
        Behaviour("S3: a chain on one row in one upload is decided in order") { talk in
            let phone = try await talk.device("phone")
            try await phone.upload(
                talk.user(1, 1), talk.user(2, 1, base: 1, name: "b"),
                talk.user(3, 1, base: 1, name: "c"), talk.user(2, 1, base: 1, name: "b"),
                gives: .statuses(
                    talk.applied(1, 1), talk.applied(2, 2),
                    talk.conflict(
                        3, "users", 1, version: 2, payload: talk.userPayload(1, "b"), by: "phone", 2
                    ), talk.applied(2, 2), highest: 2))
        },
        Behaviour("Deletes come after upserts, children's before their parents'") { talk in
            let phone = try await talk.device("phone")
            try await phone.upload(
                talk.delete(1, "users", 1, base: 1), talk.user(2, 1),
                gives: .statuses(talk.applied(1, 2), talk.applied(2, 1), highest: 2))
            try await phone.upload(
                talk.user(3, 2), talk.post(4, 3, of: 2),
                gives: .statuses(talk.applied(3, 1), talk.applied(4, 1), highest: 4))
            try await phone.upload(
                talk.delete(5, "users", 2, base: 1), talk.delete(6, "posts", 3, base: 1),
                gives: .statuses(talk.applied(5, 2), talk.applied(6, 2), highest: 6))
            try await phone.get(
                "sync/download?after=4&include_self=true",
                gives: .page(
                    talk.entry(
                        5, "posts", 3, "DELETE", version: 2, payload: nil, by: "phone", 6),
                    talk.entry(
                        6, "users", 2, "DELETE", version: 2, payload: nil, by: "phone", 5),
                    next: 6, until: 6))
        },
        Behaviour("A delete of what never was is applied and leaves nothing") { talk in
            let phone = try await talk.device("phone")
            for base in [0, 4] {
                try await phone.upload(
                    talk.delete(1, "users", 1, base: base),
                    gives: .statuses(talk.applied(1, nil), highest: 0))
            }
            try await phone.get(
                "sync/download?after=0&include_self=true", gives: .page(next: 0, until: 0))
        },
        Behaviour("A deleted row is deleted again or comes back on its version") { talk in
            let phone = try await talk.device("phone")
            try await phone.upload(
                talk.user(1, 1), gives: .statuses(talk.applied(1, 1), highest: 1))
            try await phone.upload(
                talk.delete(2, "users", 1, base: 1),
                gives: .statuses(talk.applied(2, 2), highest: 2))
            try await phone.upload(
                talk.delete(3, "users", 1, base: 2),
                gives: .statuses(talk.applied(3, 3), highest: 3))
            try await phone.upload(
                talk.user(4, 1, base: 3, op: "UPDATE", name: "b"),
                gives: .statuses(talk.applied(4, 4), highest: 4))
        },
        Behaviour("V9: a row the server does not know is row_missing on any version") { talk in
            let phone = try await talk.device("phone")
            try await phone.upload(
                talk.user(1, 1, base: 3),
                gives: .statuses(
                    talk.invalid(
                        1, "row_missing",
                        "no row business.users pk=\(talk.key(1)) on the server; send it again with server_version 0"
                    ), highest: 0))
            try await phone.upload(
                talk.user(1, 1, op: "UPDATE"), gives: .statuses(talk.applied(1, 1), highest: 1))
        },
        Behaviour("All or nothing: one change in the way keeps the others out") { talk in
            let phone = try await talk.device("phone")
            try await phone.upload(
                talk.user(1, 1), talk.user(2, 2, base: 3), query: "?atomic=true",
                gives: .statuses(
                    talk.aborted(1),
                    talk.invalid(
                        2, "row_missing",
                        "no row business.users pk=\(talk.key(2)) on the server; send it again with server_version 0"
                    ), highest: 0))
            try await phone.upload(
                talk.user(1, 1), talk.user(2, 2), query: "?atomic=true",
                gives: .statuses(talk.applied(1, 1), talk.applied(2, 1), highest: 2))
            try await phone.upload(
                talk.user(1, 1), talk.user(3, 3, name: nil), query: "?atomic=true",
                gives: .statuses(
                    talk.aborted(1),
                    talk.materializeError(3, 1, "users", Refused.withoutName), highest: 2))
            try await phone.upload(
                talk.user(1, 1), query: "?atomic=yes",
                gives: .invalid("atomic must be true or false")
            )
        },
    ]
}
