import Foundation
import Yams

/// What `openapi.yaml` says of answers, and what is wrong with one that came.
package struct APIDescription: Sendable {
    /// A documented answer.
    package struct Answer: Hashable, Comparable, CustomStringConvertible, Sendable {
        package let method: String
        package let path: String
        package let status: Int

        package init(_ method: String, _ path: String, _ status: Int) {
            self.method = method
            self.path = path
            self.status = status
        }

        /// Such as `GET /health`.
        package var operation: String { "\(method) \(path)" }
        package var description: String { "\(operation) \(status)" }
        package static func < (a: Answer, b: Answer) -> Bool { a.description < b.description }
    }

    /// An answer that came.
    package struct Received: Sendable {
        package let status: Int
        package let headers: [(name: String, value: String)]
        package let body: [UInt8]

        package init(status: Int, headers: [(name: String, value: String)], body: [UInt8]) {
            self.status = status
            self.headers = headers
            self.body = body
        }
    }

    private struct Header: Sendable {
        let schema: JSONSchema
        let isRequired: Bool
    }

    private struct Response: Sendable {
        let description: String
        /// By their names in lower case.
        var headers: [String: Header] = [:]
        /// By media type.
        var content: [String: JSONSchema] = [:]
    }

    /// Every answer has them, so the page says so once.
    package static let usualHeaders: Set = [
        "cache-control", "oversync-api-version", "strict-transport-security",
        "x-content-type-options", "x-request-id",
    ]
    /// Of HTTP, and of proxies on the way.
    private static let transportHeaders: Set = [
        "connection", "content-encoding", "content-length", "content-type", "date",
        "transfer-encoding", "vary", "x-accel-buffering",
    ]

    private let responses: [Answer: Response]
    private let schemas: [String: JSONSchema]

    /// Every answer that is described.
    package var answers: Set<Answer> { Set(responses.keys) }

    /// - Throws: `FlawedDescription` for a page that says what no check knows.
    package init(yaml text: String) throws {
        guard let page = try Yams.load(yaml: text) else { throw FlawedDescription("no page") }
        let document = try JSONValue(yaml: page)
        var responses: [Answer: Response] = [:]
        for (path, operations) in document["paths"]?.members ?? [:] {
            for (method, operation) in operations.members ?? [:] {
                for (status, response) in operation["responses"]?.members ?? [:] {
                    guard let number = Int(status) else {
                        throw FlawedDescription("\(method) \(path) has the status \(status)")
                    }
                    let answer = Answer(method.uppercased(), path, number)
                    responses[answer] = try Self.response(response, "\(answer)", document)
                }
            }
        }
        var schemas: [String: JSONSchema] = [:]
        var needed = responses.values.reduce(into: Set<String>()) { names, response in
            for schema in response.content.values { names.formUnion(schema.references) }
        }
        while let name = needed.popFirst() {
            guard let value = document["components"]?["schemas"]?[name] else {
                throw FlawedDescription("there is no schema \(name)")
            }
            let schema = try JSONSchema(value, at: name)
            schemas[name] = schema
            needed.formUnion(schema.references.filter { schemas[$0] == nil })
        }
        (self.responses, self.schemas) = (responses, schemas)
    }

    private static func response(
        _ value: JSONValue, _ place: String, _ document: JSONValue
    ) throws(FlawedDescription) -> Response {
        let value = try resolved(value, in: document)
        try expect(["content", "description", "headers"], in: value, at: place)
        var response = Response(description: value["description"]?.text ?? "")
        for (name, header) in value["headers"]?.members ?? [:] {
            let header = try resolved(header, in: document)
            try expect(["description", "required", "schema"], in: header, at: place)
            response.headers[name.lowercased()] = Header(
                schema: try JSONSchema(header["schema"] ?? .null, at: "\(place) \(name)"),
                isRequired: header["required"] == .bool(true))
        }
        for (type, content) in value["content"]?.members ?? [:] {
            try expect(["schema"], in: content, at: place)
            response.content[type] = try JSONSchema(content["schema"] ?? .null, at: place)
        }
        return response
    }

    private static func expect(
        _ names: Set<String>, in value: JSONValue, at place: String
    ) throws(FlawedDescription) {
        guard let other = value.members?.keys.filter({ !names.contains($0) }).sorted().first
        else { return }
        throw FlawedDescription("\(place) has \(other), which no check knows")
    }

    /// What a reference refers to; anything else as it is.
    private static func resolved(
        _ value: JSONValue, in document: JSONValue
    ) throws(FlawedDescription) -> JSONValue {
        guard let reference = value["$ref"]?.text else { return value }
        let target = reference.split(separator: "/").dropFirst().reduce(Optional(document)) {
            $0?[String($1)]
        }
        guard let target else { throw FlawedDescription("there is no \(reference)") }
        return target
    }

    /// What is wrong with an answer; nothing if it is as described.
    package func problems(of received: Received, to method: String, _ path: String) -> [String] {
        let answer = Answer(method, path, received.status)
        guard let response = responses[answer] else { return ["\(answer) is not described"] }
        let problems =
            problems(of: received.headers, response) + problems(ofBody: received, response)
        return problems.map { "\(answer): \($0)" }
    }

    private func problems(
        of headers: [(name: String, value: String)], _ response: Response
    ) -> [String] {
        var problems: [String] = []
        let names = Set(headers.map { $0.name.lowercased() })
        let required = response.headers.filter(\.value.isRequired).map(\.key)
        for name in Self.usualHeaders.union(required).subtracting(names).sorted() {
            problems.append("the header \(name) is missing")
        }
        for (name, value) in headers {
            let name = name.lowercased()
            if let header = response.headers[name] {
                problems += header.schema.problems(
                    of: header.schema.value(of: value), at: name, in: schemas)
            } else if !Self.usualHeaders.contains(name), !Self.transportHeaders.contains(name) {
                problems.append("the header \(name) is not described")
            }
        }
        return problems
    }

    private func problems(ofBody received: Received, _ response: Response) -> [String] {
        let type = received.headers.first { $0.name.lowercased() == "content-type" }?.value
        guard let type, let schema = response.content[type] else {
            return ["a body of \(type ?? "no type") is not described"]
        }
        let value: JSONValue?
        switch type {
        case "application/json":
            value = try? JSONDecoder().decode(JSONValue.self, from: Data(received.body))
        case "application/yaml":
            let text = String(decoding: received.body, as: UTF8.self)
            value = try? Yams.load(yaml: text).map { try JSONValue(yaml: $0) }
        default: return schema.isText ? [] : ["\(type) is text, and described as something else"]
        }
        guard let value else { return ["the body is no \(type)"] }
        return schema.problems(of: value, at: "body", in: schemas)
            + problems(ofCode: value, received.status, response)
    }

    /// An error's code stands in the description of its answer.
    private func problems(
        ofCode value: JSONValue, _ status: Int, _ response: Response
    ) -> [String] {
        guard status >= 400, let code = value["error"]?.text,
            !response.description.contains("`\(code)`")
        else { return [] }
        return ["the description does not name the code \(code)"]
    }
}
