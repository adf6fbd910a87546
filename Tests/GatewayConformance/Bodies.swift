import Foundation
import OverSQLite

/// How bodies are read.
enum Bodies {
    static let behaviours = [
        Behaviour("A body without changes is an upload of none") { talk in
            let phone = try await talk.device("phone")
            let bodies = [
                "null", "{}", #"{"changes":null}"#, "{\"changes\":[]} \n",
                #"{"source_id":"x","changes":[],"last_server_seq_seen":"any"}"#,
            ]
            for body in bodies {
                try await phone.send(
                    "POST", "sync/upload", body: Array(body.utf8), gives: .statuses(highest: 0))
            }
        },
        Behaviour("A body that is no upload is refused as a whole") { talk in
            let phone = try await talk.device("phone")
            let bodies = [
                "", "{bad", "[]", #"{"changes":{}}"#, #"{"changes":[1]}"#,
                #"{"changes":[{"source_change_id":"1"}]}"#,
                #"{"changes":[{"source_change_id":1.5}]}"#,
                #"{"changes":[{"table":1}]}"#, #"{"changes":[]} and so on"#, "null{}",
                #"{"changes":[]}{"changes":[]}"#,
            ]
            for body in bodies {
                let response = try await phone.response(
                    "POST", "sync/upload", body: Array(body.utf8))
                let text = String(decoding: response.body, as: UTF8.self)
                let isAsExpected =
                    response.status == 400 && text.contains(#""error":"invalid_request""#)
                    && text.contains(#""message":"Failed to parse upload request: "#)
                if !isAsExpected { talk.note("\(body): \(response.status) \(text)") }
            }
        },
        Behaviour("V8: a payload comes back as it was sent, digit for digit") { talk in
            let phone = try await talk.device("phone")
            let laptop = try await talk.device("laptop")
            let payload =
                #"{"name":"<&> ü \" \\ \u00e9","age":9,"n":[1.50,9007199254740993,1e3,-0.0],"z":null,"a":true}"#
            try await phone.upload(
                talk.change(1, "users", talk.key(1), payload: payload),
                gives: .statuses(talk.applied(1, 1), highest: 1))
            for request in ["sync/download?after=0", "sync/upload"] {
                let response =
                    request.hasSuffix("upload")
                    ? try await laptop.response(
                        "POST", request, body: Array(#"{"changes":[\#(talk.user(1, 1))]}"#.utf8))
                    : try await laptop.response("GET", request)
                let text = String(decoding: response.body, as: UTF8.self)
                if !text.contains(#""payload":\#(payload)"#) { talk.note("\(request): \(text)") }
            }
        },
    ]
}
