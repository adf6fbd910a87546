import DevStack
import NIOHTTP1
import OperatorKit
import Postgres
import Testing

extension AnswersAsDescribed {
    /// A database that holds what no service expects. Nothing comes after it.
    static func fail(_ scene: DescribedScene) async throws {
        try await withConnection(to: scene.stack.database) { connection in
            try await connection.execute(
                script: """
                    ALTER TABLE sync.change_log ALTER version DROP NOT NULL;
                    UPDATE sync.change_log SET version = NULL;
                    ALTER TABLE sync.row_state ALTER version DROP NOT NULL;
                    UPDATE sync.row_state SET version = NULL;
                    ALTER TABLE sync.materialize_failures ALTER error DROP NOT NULL;
                    UPDATE sync.materialize_failures SET error = NULL, resolved_at = NULL;
                    ALTER TABLE sync.source ALTER max_change_id DROP NOT NULL;
                    UPDATE sync.source SET max_change_id = NULL
                    """)
        }
        try await scene.expect(
            500, "POST /sync/upload",
            Question(body: Knock.changes([aim.user(50, aim.userKey, base: 2)])))
        let laptop = try await scene.token("ann", "laptop")
        try await scene.expect(500, "GET /sync/download", token: laptop)
        try await scene.expect(500, "GET /sync/digest", Question(query: aim.besideUser))
        try await scene.expect(
            500, "POST /sync/rows", Question(body: aim.row("users", aim.userKey)))
        for operation in [
            "GET /admin/materialize-failures", "POST /admin/materialize-failures/retry",
            "GET /admin/devices", "POST /admin/devices/revoke", "POST /admin/devices/restore",
        ] {
            try await scene.expect(500, operation)
        }
        try await scene.expect(
            500, "GET /admin/rows",
            Question(query: "?user=ann&schema=business&table=users&pk=\(aim.userKey)"))
        try await withConnection(to: scene.stack.database) { connection in
            try await connection.execute(
                script: """
                    ALTER TABLE sync.scope ALTER last_seq DROP NOT NULL;
                    UPDATE sync.scope SET last_seq = NULL;
                    ALTER TABLE sync.meta ALTER epoch DROP NOT NULL;
                    UPDATE sync.meta SET epoch = NULL;
                    ALTER TABLE sync.audit ALTER actor DROP NOT NULL;
                    UPDATE sync.audit SET actor = NULL;
                    ALTER TABLE oversync_auth.signing_key ALTER active_from DROP NOT NULL;
                    UPDATE oversync_auth.signing_key SET active_from = NULL;
                    ALTER TABLE sync.catalog ALTER key_column DROP NOT NULL;
                    UPDATE sync.catalog SET key_column = NULL
                    """)
        }
        for operation in [
            "GET /admin/users", "GET /sync/bootstrap", "GET /admin/overview", "GET /admin/audit",
            "GET /admin/devices/explain", "GET /admin/keys", "GET /admin/tables", "POST /sync/keys",
        ] {
            try await scene.expect(500, operation)
        }
    }
}
