import AsyncHTTPClient
import DevStack
import Foundation
import NIOCore
import NIOHTTP1
import OperatorKit
import Postgres
import Testing

/// Promise P6 at every route: a stranger who knows a user's name, keys and device learns and changes nothing.
///
/// Two strangers do the same in step. One aims at a user with rows, the other at one who was never there; after
/// the names are made alike their answers must be equal to the byte.
@Suite("Strangers", .serialized, .timeLimit(.minutes(5)))
struct StrangersAtEveryDoor {
    @Test(
        "At every route a stranger gets what he would get if the other user did not exist, and leaves no trace"
    )
    func doors() async throws {
        try await withStack { stack in
            try await stack.withClient { client in
                let victim = try await WireDevice(
                    stack, client, user: Aim.victim.user, device: "phone")
                try await Self.fill(victim)
                let aims = try await [Aim.victim, Aim.nobody].asyncMap { aim in
                    (aim, try await WireDevice(stack, client, user: aim.stranger, device: "phone"))
                }
                let before = try await Self.everything(of: victim)
                let described = Self.routes(
                    in: try await victim.send(.GET, "/openapi.yaml").text)
                #expect(described.count >= 14)
                #expect(Set(Self.doors.map(\.route)) == described)
                for (route, knocks) in Self.doors {
                    for knock in knocks {
                        let answers = try await aims.asyncMap { aim, stranger in
                            aim.anonymous(try await knock.answer(route, aim, stranger, victim))
                        }
                        #expect(answers[0] == answers[1], "\(route)")
                        #expect(!answers[0].contains(Aim.mark), "\(route)")
                        if route.contains("/admin/") { #expect(answers[0].hasPrefix("403")) }
                    }
                    #expect(try await Self.everything(of: victim) == before, "\(route)")
                }
                try await Self.collide(aims[0].1, victim)
                #expect(try await Self.everything(of: victim) == before)
            }
        }
    }

    /// Keys that all users share cannot be used twice. That, and no more, is said (V11).
    private static func collide(_ stranger: WireDevice, _ victim: WireDevice) async throws {
        for query in ["", "?atomic=true"] {
            let taken = try await stranger.send(
                .POST, "/sync/upload" + query,
                body: Knock.changes([Aim.victim.user(77, Aim.victim.userKey, base: 0)]))
            #expect(try taken.value("statuses", 0, "invalid", "reason") == "key_taken")
            #expect(!taken.text.contains(Aim.mark))
        }
    }

    /// Rows of the victim's in several tables, edited and deleted ones too, and one that was refused.
    private static func fill(_ victim: WireDevice) async throws {
        var aim = Aim.victim
        aim.word = Aim.mark
        let answer = try await victim.send(
            .POST, "/sync/upload",
            body: Knock.changes([
                aim.user(1, aim.userKey, base: 0), aim.post(2, aim.postKey, author: aim.userKey),
                aim.currency(3), aim.user(4, aim.userKey, base: 1),
                aim.post(5, aim.newKey, author: aim.userKey, title: "null"),
            ]))
        #expect(try answer.value("statuses", 3, "new_server_version") == "2")
        #expect(try answer.value("statuses", 4, "status") == "materialize_error")
    }

    /// What a device of the victim's gets, and every row of his in the database.
    private static func everything(of victim: WireDevice) async throws -> [String] {
        let page = try await victim.download("after=0&include_self=true").text
        #expect(page.contains(Aim.mark))
        let user = Aim.victim.user
        let scoped = ["scope", "source", "change_log", "row_state", "materialize_failures"].map {
            "sync.\($0) t WHERE scope_id = (SELECT scope_id FROM sync.scope WHERE user_id = '\(user)')"
        }
        let owned = ["users", "posts", "currencies"].map {
            "business.\($0) t WHERE owner_id = '\(user)'"
        }
        return try await withConnection(to: victim.stack.database) { connection in
            var all = [page]
            for (n, rows) in (scoped + owned).enumerated() {
                let statement = Statement(
                    name: "all\(n)",
                    sql:
                        "SELECT coalesce(string_agg(t::text, ';' ORDER BY t::text), '') FROM \(rows)"
                )
                let text = try await connection.run(Command(statement)).string(0, 0)
                #expect(!text.isEmpty, "\(rows)")
                all.append(text)
            }
            return all
        }
    }

    /// The operations that the gateway describes, which a test of its own holds against its routes.
    private static func routes(in document: String) -> Set<String> {
        var path = ""
        var routes: Set<String> = []
        for line in document.split(separator: "\n") {
            if let match = line.firstMatch(of: /^  (\/\S*):$/) { path = String(match.1) }
            if let match = line.firstMatch(of: /^    (get|post|put|patch|delete):$/) {
                routes.insert("\(match.1.uppercased()) \(path)")
            }
        }
        return routes
    }

    /// What a stranger tries at each route: reading, changing, colliding, probing. First what leaves him rows of
    /// his own, so that the others have something to show.
    private static let doors: [(route: String, knocks: [Knock])] = [
        (
            "POST /sync/upload",
            [
                Knock(changes: { [$0.user(1, $0.userKey, base: 2)] }),
                Knock(changes: { [$0.delete(2, "users", $0.userKey, base: 2)] }),
                Knock(changes: { [$0.delete(3, "posts", $0.postKey, base: 1)] }),
                Knock(changes: { [$0.post(4, $0.newKey, author: $0.userKey)] }),
                Knock(changes: { [$0.post(4, $0.newKey, author: $0.userKey, title: "null")] }),
                Knock(changes: { [$0.currency(5)] }),
                // Under the victim's name, which the server writes itself.
                Knock(changes: {
                    [$0.user(6, $0.newKey, base: 0, more: #","owner_id":"\#($0.user)""#)]
                }
                ),
                Knock(
                    query: "?atomic=true",
                    changes: {
                        [
                            $0.user(7, $0.userKey, base: 2),
                            $0.post(8, $0.newKey, author: $0.userKey),
                        ]
                    }),
            ]
        ),
        (
            "GET /sync/download",
            [
                Knock(query: "?after=0&include_self=true"),
                Knock(query: "?after=0&until=9999&limit=1000"),
                Knock(query: "?after=1&schema=business"), Knock(query: "?after=3"),
            ]
        ),
        (
            "GET /sync/digest",
            [
                Knock(), Knock(query: "?schema=business&table=users"), Knock { $0.besideUser },
            ]
        ),
        (
            "POST /sync/rows",
            [
                Knock { $0.row("users", $0.userKey) }, Knock { $0.row("posts", $0.postKey) },
                Knock { $0.row("currencies", "XX\($0.letter)") },
            ]
        ),
        (
            "POST /sync/keys",
            [
                Knock(
                    query: "",
                    body: #"{"tables":[{"schema":"business","table":"users","count":5}]}"#)
            ]
        ),
        ("GET /sync/watch", [Knock(query: "?after=0", .firstEvent)]),
        ("GET /sync/bootstrap", [Knock()]),
        ("GET /sync/capabilities", [Knock()]),
        ("GET /sync/schema-version", [Knock()]),
        (
            "GET /admin/materialize-failures",
            [
                Knock(), Knock { "?user=\($0.user)" },
                Knock { "?schema=business&user=\($0.user)&limit=1" },
            ]
        ),
        (
            "POST /admin/materialize-failures/retry",
            [
                Knock { $0.failure }, Knock(query: "", body: #"{"id":1}"#),
            ]
        ),
        ("GET /admin/devices", [Knock(), Knock { "?user=\($0.user)" }]),
        ("GET /admin/users", [Knock { "?user=\($0.user)" }]),
        ("GET /admin/devices/explain", [Knock { "?user=\($0.user)&device=phone" }]),
        (
            "GET /admin/rows",
            [Knock { "?user=\($0.user)&schema=business&table=users&pk=\($0.userKey)" }]
        ),
        ("GET /admin/services", [Knock()]),
        ("GET /admin/metrics", [Knock()]),
        ("GET /admin/overview", [Knock()]),
        ("GET /admin/tables", [Knock()]),
        ("GET /admin/conflicts", [Knock()]),
        ("GET /admin/requests", [Knock(), Knock { "?user=\($0.user)" }]),
        ("GET /admin/audit", [Knock()]),
        ("GET /admin/keys", [Knock()]),
        (
            "POST /admin/devices/revoke",
            [Knock(query: "", body: #"{"user_id":"u","source_id":"d"}"#)]
        ),
        (
            "POST /admin/devices/restore",
            [Knock(query: "", body: #"{"user_id":"u","source_id":"d"}"#)]
        ),
        ("GET /health", [Knock()]),
        ("GET /ready", [Knock()]),
        ("GET /.well-known/jwks.json", [Knock()]),
        ("GET /openapi.yaml", [Knock()]),
        ("POST /auth/token", [Knock { $0.clientToken }]),
        // Gives a token for any name, and is there in development alone: whether the name is known shows not.
        ("POST /dev/sign-in", [Knock { $0.signIn }]),
        ("POST /dummy-signin", [Knock { $0.signIn }]),
    ]
}
