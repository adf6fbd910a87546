import APIDescription
import DevStack
import Foundation
import NIOHTTP1
import OperatorKit
import Postgres
import Testing

/// Every route and every status of `Docs/openapi.yaml`, asked of the real stack: status, headers,
/// content type and body of each answer are as the page says.
@Suite("Answers are as openapi.yaml describes them", .serialized, .timeLimit(.minutes(5)))
struct AnswersAsDescribed {
    typealias Question = DescribedScene.Question

    /// The bytes that the stack's gateway takes of an upload.
    static let largestBody = 20_000

    static let aim = Aim(letter: "c", failure: "")
    /// It asks no service, unless a header names the device.
    private static let version = "GET /sync/schema-version"

    @Test("Each status that the page names comes, as the page says, and no other comes")
    func answers() async throws {
        try await DescribedScene.run { scene in
            try await Self.upload(scene)
            try await Self.read(scene)
            try await Self.administer(scene)
            try await Self.signIn(scene)
            try await Self.refuse(scene)
            try await Self.refuseAlways(scene)
            try await Self.refuseHistories(scene)
            try await Self.limit(scene)
            for operation in scene.operations(with: 503) where operation != Self.version {
                try await scene.expect(503, operation, at: scene.lonely)
            }
            try await Self.fail(scene)
            let missing = scene.described.answers.subtracting(scene.exercised).sorted()
            #expect(missing == [])
        }
    }

    /// Every outcome of a change.
    private static func upload(_ scene: DescribedScene) async throws {
        let operation = "POST /sync/upload"
        func changes(_ list: String...) -> Question { Question(body: Knock.changes(list)) }
        let taken = try await scene.expect(
            200, operation,
            changes(
                aim.user(1, aim.userKey, base: 0), aim.post(2, aim.postKey, author: aim.userKey),
                aim.currency(3), aim.user(4, aim.userKey, base: 1),
                aim.post(5, aim.newKey, author: aim.userKey, title: "null"),
                aim.delete(6, "posts", aim.postKey, base: 1)))
        #expect(taken.contains(#""materialize_error""#))
        let nobody = Aim.nobody
        let refused = try await scene.expect(
            200, operation,
            changes(
                aim.user(1, aim.userKey, base: 1), aim.post(2, aim.postKey, author: aim.userKey),
                aim.post(3, nobody.postKey, author: nobody.userKey),
                aim.user(4, nobody.newKey, base: 9),
                aim.user(5, "no key", base: 0), nobody.row("nothing", "x")),
            token: try await scene.token("ann", "laptop"))
        for word in ["conflict", "fk_missing", "row_missing", "bad_payload", "null"] {
            #expect(refused.contains(word), "\(word) is not in \(refused)")
        }
        let stranger = try await scene.token("bob", "tablet")
        let other = try await scene.expect(
            200, operation, changes(aim.user(1, aim.userKey, base: 0)), token: stranger)
        #expect(other.contains("key_taken"))
        var atomic = changes(
            aim.user(2, nobody.userKey, base: 0), aim.user(3, nobody.newKey, base: 9))
        atomic.query = "?atomic=true"
        let aborted = try await scene.expect(200, operation, atomic, token: stranger)
        #expect(aborted.contains("aborted"))
        try await scene.expect(
            200, operation, Question(headers: ["content-type": "application/x-protobuf"], body: ""))
    }

    /// What a device reads, as an older client and with all that a newer one sends.
    private static func read(_ scene: DescribedScene) async throws {
        let laptop = try await scene.token("ann", "laptop")
        let standing = try await scene.expect(200, "GET /sync/bootstrap", token: laptop)
        let epoch = try #require(standing.firstMatch(of: /"epoch":"([^"]*)"/)).1
        let headers: HTTPHeaders = [
            "oversync-epoch": String(epoch), "oversync-tables": "unknown",
        ]
        for operation in [
            "GET /sync/bootstrap", "GET /sync/capabilities", "GET /sync/digest",
            "GET /sync/download", "POST /sync/rows", "POST /sync/keys", version,
        ] {
            var question = scene.good(operation)
            question.headers.add(contentsOf: headers)
            try await scene.expect(200, operation, token: laptop)
            try await scene.expect(200, operation, question, token: laptop)
        }
        try await withConnection(to: scene.stack.database) { connection in
            try await connection.execute(
                script: "INSERT INTO business.currencies VALUES ('ann', 'SQL', 'plain', '2')")
        }
        // Deletes too, and the row that no device wrote.
        let page = try await scene.expect(
            200, "GET /sync/download", Question(query: "?after=0&limit=1000&fresh=true"),
            token: laptop)
        #expect(page.contains(#""deleted":true"#) && page.contains(#""pk":"SQL""#))
        try await scene.expect(
            200, "GET /sync/download", Question(headers: ["accept": "application/x-protobuf"]))
        try await scene.expect(
            200, "GET /sync/capabilities",
            Question(
                query: "?schema=business&tables=users,nothing",
                headers: ["oversync-tables": "unknown"]))
        for query in ["?schema=business&table=users&buckets=256", aim.besideUser] {
            try await scene.expect(200, "GET /sync/digest", Question(query: query))
        }
        let rows = try await scene.expect(
            200, "POST /sync/rows", Question(body: aim.row("users", aim.userKey)))
        #expect(rows.contains(aim.userKey))
        let keys = #"{"tables":[{"schema":"business","table":"users","count":3}]}"#
        let leases = try await scene.expect(200, "POST /sync/keys", Question(body: keys))
        #expect(leases.contains(#""shortage":"no_sequence""#))
        let events = try await scene.expect(
            200, "GET /sync/watch", Question(query: "?after=0"), token: laptop)
        #expect(events.contains("highest_server_seq"))
        for operation in [
            "GET /health", "GET /ready", "GET /.well-known/jwks.json", "GET /openapi.yaml",
        ] {
            try await scene.expect(200, operation)
        }
    }

    /// Also a failure that another session holds.
    private static func administer(_ scene: DescribedScene) async throws {
        let failures = try await scene.expect(200, "GET /admin/materialize-failures")
        let id = try #require(failures.firstMatch(of: /"id":(\d+)/)).1
        let retry = "POST /admin/materialize-failures/retry"
        try await withConnection(to: scene.stack.database) { connection in
            try await connection.execute(
                script: "BEGIN; SELECT id FROM sync.materialize_failures FOR UPDATE")
            try await scene.expect(409, retry, Question(query: "?id=\(id)"))
            try await connection.execute(script: "ROLLBACK")
        }
        try await scene.expect(200, retry, Question(query: "?id=\(id)"))
        try await scene.expect(404, retry, Question(query: "?id=999999"))
        let revoked = try await scene.expect(200, "POST /admin/devices/revoke")
        #expect(revoked.contains(#""revoked""#))
        try await scene.expect(200, "POST /admin/devices/restore")
        let nobody = Question(body: #"{"user_id":"ann","source_id":"nobody"}"#)
        try await scene.expect(404, "POST /admin/devices/restore", nobody)
        for query in ["", "?user=ann&limit=1", "?after_user=ann&after_device=laptop"] {
            try await scene.expect(200, "GET /admin/devices", Question(query: query))
        }
        try await scene.expect(200, "GET /admin/users")
        try await scene.expect(404, "GET /admin/users", Question(query: "?user=nobody"))
        try await look(scene)
        for operation in scene.operations(with: 403) where operation.contains("/admin/") {
            let plain = try await scene.token(roles: [])
            try await scene.expect(403, operation, token: plain)
        }
    }

    /// What the console asks for.
    private static func look(_ scene: DescribedScene) async throws {
        for operation in [
            "GET /admin/services", "GET /admin/metrics", "GET /admin/overview",
            "GET /admin/tables", "GET /admin/conflicts", "GET /admin/keys",
        ] {
            try await scene.expect(200, operation)
        }
        let tail = try await scene.expect(
            200, "GET /admin/requests",
            Question(query: "?user=ann&device=phone&status=2xx&idle=true&limit=1000"))
        #expect(tail.contains(#""route":"/sync/upload""#) && tail.contains(#""applied":"#))
        let row = "?user=ann&schema=business&table=users&pk="
        let history = try await scene.expect(
            200, "GET /admin/rows", Question(query: row + aim.userKey))
        #expect(history.contains(#""server_version":2"#))
        try await scene.expect(404, "GET /admin/rows", Question(query: row + "x"))
        for query in ["", "?limit=1", "?action=row.read", "?before=3"] {
            try await scene.expect(200, "GET /admin/audit", Question(query: query))
        }
        let explain = "GET /admin/devices/explain"
        try await scene.expect(200, explain)
        try await scene.expect(404, explain, Question(query: "?user=ann&device=nobody"))
        // A device that says something of itself, and one whose access is gone.
        try await scene.expect(
            200, version,
            Question(headers: ["oversync-report": #"sdk="s", pending=3, held=1, at=1"#]))
        try await eventually("the report is there") {
            try await scene.ask(explain).text.contains("held_rows")
        }
        try await scene.expect(200, "GET /admin/devices")
    }

    private static func signIn(_ scene: DescribedScene) async throws {
        let token = "POST /auth/token"
        var question = scene.good(token)
        try await scene.expect(200, token)
        question.body? += "&scope=editor&lifetime=60"
        try await scene.expect(200, token, question)
        for (from, to) in [("customer-7", "root"), ("scope=editor", "scope=admin")] {
            var refused = question
            refused.body = question.body?.replacing(from, with: to)
            try await scene.expect(400, token, refused)
        }
        for grant in ["grant_type=password", "user=u"] {
            try await scene.expect(
                400, token, Question(headers: question.headers, body: grant))
        }
        question.body = question.body?.replacing("client_secret=", with: "client_secret=x")
        try await scene.expect(401, token, question)
        for operation in ["POST /dev/sign-in", "POST /dummy-signin"] {
            try await scene.expect(200, operation)
            try await scene.expect(400, operation, Question(body: "{"))
            try await scene.expect(404, operation, at: scene.narrow)
        }
    }

    /// What depends on the route.
    private static func refuse(_ scene: DescribedScene) async throws {
        let bad: [String: Question] = [
            "POST /sync/upload": Question(body: "{bad"), "POST /sync/rows": Question(body: "{bad"),
            "POST /sync/keys": Question(body: "{bad"),
            "GET /sync/digest": Question(query: "?buckets=x"),
            "GET /sync/download": Question(query: "?after=x"),
            "GET /sync/watch": Question(query: "?after=x"),
            "GET /sync/bootstrap": Question(headers: ["oversync-history": "x"]),
            "GET /sync/capabilities": Question(headers: ["oversync-tables": "x"]),
            "GET /admin/materialize-failures": Question(query: "?schema=%00"),
            "POST /admin/materialize-failures/retry": Question(query: "?id=x"),
            "GET /admin/devices": Question(query: "?limit=x"),
            "GET /admin/users": Question(query: "?user="),
            "GET /admin/devices/explain": Question(query: "?user=ann"),
            "GET /admin/rows": Question(query: "?user=ann&schema=business&table=users"),
            "GET /admin/audit": Question(query: "?before=0"),
            "GET /admin/requests": Question(query: "?status=4"),
            "POST /admin/devices/revoke": Question(body: "{"),
            "POST /admin/devices/restore": Question(body: "{"),
        ]
        for (operation, question) in bad { try await scene.expect(400, operation, question) }
        try await scene.expect(400, "GET /sync/capabilities", Question(query: "?schema=A!"))
        // Tokens that name no device, with a header that does not either, or names another user's.
        let (ann, bob) = (try scene.issuerToken("ann"), try scene.issuerToken("bob"))
        let header: HTTPHeaders = ["oversync-device": "of-bob"]
        try await scene.expect(400, version, token: ann)
        try await scene.expect(200, version, Question(headers: header), token: bob)
        try await scene.expect(
            503, version, Question(headers: header), token: bob, at: scene.lonely)
        for operation in [version, "GET /sync/capabilities"] {
            try await scene.expect(403, operation, Question(headers: header), token: ann)
        }
        // A device whose access has ended.
        let lost = try await scene.token("ann", "lost")
        try await scene.expect(200, "POST /sync/upload", token: lost)
        try await scene.expect(200, "POST /admin/devices/revoke")
        for operation in scene.operations(with: 403)
        where operation.contains("/sync/") && operation != version
            && operation != "GET /sync/capabilities"
        {
            // Every replica knows of it within a second.
            try await eventually("\(operation) is refused") {
                try await scene.ask(operation, token: lost).status == 403
            }
        }
    }

    /// What every route refuses in the same way.
    private static func refuseAlways(_ scene: DescribedScene) async throws {
        for operation in scene.operations(with: 401) where operation != "POST /auth/token" {
            try await scene.expect(401, operation, token: "a.b.c")
        }
        for operation in scene.operations(with: 405) {
            try await scene.expect(405, operation, method: .PUT)
        }
        for operation in scene.operations(with: 413) {
            var question = scene.good(operation)
            // Without the id in the query a retry reads its body.
            question.query = ""
            question.body = String(repeating: " ", count: largestBody + 1)
            try await scene.expect(413, operation, question)
        }
        for operation in scene.operations(with: 415) {
            var question = scene.good(operation)
            question.query = ""
            question.body = question.body ?? "{}"
            question.headers.add(name: "content-encoding", value: "br")
            try await scene.expect(415, operation, question)
        }
    }

    /// Another history, and one that was compacted.
    private static func refuseHistories(_ scene: DescribedScene) async throws {
        for operation in scene.operations(with: 409) where !operation.contains("/admin/") {
            var question = scene.good(operation)
            question.headers.add(name: "oversync-epoch", value: UUID().uuidString)
            try await scene.expect(409, operation, question)
        }
        let token = try await scene.token("eve", "phone")
        let key = UUID().uuidString.lowercased()
        try await scene.expect(
            200, "POST /sync/upload",
            Question(
                body: Knock.changes([
                    aim.user(1, key, base: 0), aim.user(2, key, base: 1),
                    aim.delete(3, "users", key, base: 2), aim.currency(4),
                ])), token: token)
        try await withConnection(to: scene.stack.database) { connection in
            try await connection.execute(
                script: """
                    UPDATE sync.change_log SET ts = ts - interval '400 days' WHERE scope_id =
                        (SELECT scope_id FROM sync.scope WHERE user_id = 'eve')
                    """)
        }
        let (status, text) = try await runProgram(
            "oversync",
            [
                "compact", "--superseded-days", "1", "--tombstone-days", "1", "--user", "eve",
                "--database", scene.stack.database,
            ])
        #expect(status == 0, "\(text)")
        let early = Question(query: "?after=1")
        for operation in scene.operations(with: 410) {
            try await eventually("\(operation) says that deletes are gone") {
                try await scene.ask(operation, early, token: token).status == 410
            }
        }
    }

    /// A gateway that allows a request a second: of each user's eight at once some are too many.
    private static func limit(_ scene: DescribedScene) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for operation in scene.operations(with: 429) {
                let isClients = operation == "POST /auth/token"
                let token = isClients ? "" : try await scene.token(operation, "phone")
                var question = scene.good(operation)
                if isClients {
                    question.body = question.body?.replacing("secret=", with: "secret=x")
                }
                for _ in 1...8 {
                    group.addTask { [question] in
                        _ = try await scene.ask(
                            operation, question, token: token, at: scene.narrow)
                    }
                }
            }
            try await group.waitForAll()
        }
    }
}
