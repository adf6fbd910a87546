import Foundation

/// Pages, windows and waiting.
enum Feeds {
    static let behaviours = [
        Behaviour("V5: a window is read to its end, page by page, and newer changes stay out of it")
        {
            talk in
            let phone = try await talk.device("phone")
            let laptop = try await talk.device("laptop")
            func entry(_ n: Int, by device: String) -> String {
                talk.entry(
                    n, "users", n, "INSERT", version: 1, payload: talk.userPayload(n, "a"),
                    by: device, n)
            }
            for n in 1...5 {
                try await phone.upload(
                    talk.user(n, n), gives: .statuses(talk.applied(n, 1), highest: n))
            }
            try await laptop.get(
                "sync/download?after=0&limit=2",
                gives: .page(
                    entry(1, by: "phone"), entry(2, by: "phone"), more: true, next: 2, until: 5))
            try await laptop.upload(
                talk.user(6, 6), gives: .statuses(talk.applied(6, 1), highest: 6))
            try await laptop.get(
                "sync/download?after=2&limit=2&until=5",
                gives: .page(
                    entry(3, by: "phone"), entry(4, by: "phone"), more: true, next: 4, until: 5))
            try await laptop.get(
                "sync/download?after=4&limit=2&until=5",
                gives: .page(entry(5, by: "phone"), next: 5, until: 5))
            try await laptop.get("sync/download?after=5", gives: .page(next: 6, until: 6))
            try await phone.get(
                "sync/download?after=5&until=99",
                gives: .page(entry(6, by: "laptop"), next: 6, until: 6))
            try await phone.get(
                "sync/download?after=3&until=2", gives: .page(next: 3, until: 2))
            try await phone.get("sync/download?after=50", gives: .page(next: 50, until: 6))
        },
        Behaviour("A page has an atomic upload whole, or nothing of it") { talk in
            let phone = try await talk.device("phone")
            let laptop = try await talk.device("laptop")
            func entry(_ n: Int) -> String {
                talk.entry(
                    n, "users", n, "INSERT", version: 1, payload: talk.userPayload(n, "a"),
                    by: "phone", n)
            }
            try await phone.upload(
                talk.user(1, 1), gives: .statuses(talk.applied(1, 1), highest: 1))
            try await phone.upload(
                talk.user(2, 2), talk.user(3, 3), talk.user(4, 4), query: "?atomic=true",
                gives: .statuses(
                    talk.applied(2, 1), talk.applied(3, 1), talk.applied(4, 1), highest: 4))
            try await phone.upload(
                talk.user(5, 5), gives: .statuses(talk.applied(5, 1), highest: 5))
            try await laptop.get(
                "sync/download?after=0&limit=1",
                gives: .page(entry(1), more: true, next: 1, until: 5))
            try await laptop.get(
                "sync/download?after=0&limit=2",
                gives: .page(
                    entry(1), entry(2), entry(3), entry(4), more: true, next: 4, until: 5))
            try await laptop.get(
                "sync/download?after=1&limit=1&until=5",
                gives: .page(entry(2), entry(3), entry(4), more: true, next: 4, until: 5))
            try await laptop.get(
                "sync/download?after=0&until=3", gives: .page(entry(1), next: 1, until: 1))
            try await laptop.get(
                "sync/download?after=0&limit=2&until=4",
                gives: .page(entry(1), entry(2), entry(3), entry(4), next: 4, until: 4))
            try await phone.get("sync/download?after=0&limit=1", gives: .page(next: 5, until: 5))
        },
        Behaviour("Of another schema there is nothing, and the cursor passes over it") { talk in
            let phone = try await talk.device("phone")
            let laptop = try await talk.device("laptop")
            try await phone.upload(
                talk.user(1, 1), gives: .statuses(talk.applied(1, 1), highest: 1))
            try await laptop.get(
                "sync/download?after=0&schema=other", gives: .page(next: 1, until: 1))
            try await laptop.get(
                "sync/download?after=0&schema=business&limit=",
                gives: .page(
                    talk.entry(
                        1, "users", 1, "INSERT", version: 1, payload: talk.userPayload(1, "a"),
                        by: "phone", 1), next: 1, until: 1))
        },
        Behaviour("Parameters that make no sense are refused in words") { talk in
            let phone = try await talk.device("phone")
            let faults = [
                "after=x": "after must be an integer", "after=-1": "after must be >= 0",
                "after=9007199254740992": "after must be at most 9007199254740991",
                "limit=x": "limit must be an integer",
                "limit=0": "limit must be between 1 and 1000",
                "limit=1001": "limit must be between 1 and 1000",
                "schema=Upper": "invalid schema name", "until=x": "until must be an integer",
                "until=-1": "until must be >= 0", "wait=x": "wait must be between 0 and 55 seconds",
                "wait=56": "wait must be between 0 and 55 seconds",
            ]
            for (query, message) in faults {
                try await phone.get("sync/download?\(query)", gives: .invalid(message))
            }
        },
        Behaviour("A request that waits is answered at once, with the first news, or at its end") {
            talk in
            let phone = try await talk.device("phone")
            let laptop = try await talk.device("laptop")
            try await phone.upload(
                talk.user(1, 1), gives: .statuses(talk.applied(1, 1), highest: 1))
            func entry(_ n: Int) -> String {
                talk.entry(
                    n, "users", n, "INSERT", version: 1, payload: talk.userPayload(n, "a"),
                    by: "phone", n)
            }
            try await laptop.get(
                "sync/download?after=0&wait=50", gives: .page(entry(1), next: 1, until: 1))
            // Own changes are no news.
            try await phone.get("sync/download?after=0&wait=1", gives: .page(next: 1, until: 1))
            try await laptop.get("sync/download?after=1&wait=0", gives: .page(next: 1, until: 1))
            async let held: Void = laptop.get(
                "sync/download?after=1&wait=50", gives: .page(entry(2), next: 2, until: 2))
            try await phone.upload(
                talk.user(2, 2), gives: .statuses(talk.applied(2, 1), highest: 2))
            try await held
        },
    ]
}
