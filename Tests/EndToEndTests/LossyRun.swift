import AsyncHTTPClient
import DevStack
import Foundation
import NIOSSL
import OperatorKit
import Postgres
import SeededRandom
import ServerModel
import Testing

/// Devices behind a bad network, the model, and how they compare.
struct LossyRun {
    private struct Sender: Hashable {
        let user: ModelServer.User
        let device: ModelServer.Device
    }

    let stack: StackAddress
    let proxy: CuttingProxy
    let port: Int
    var generator: SeededGenerator
    private(set) var cutRequests = 0
    private(set) var cutAnswers = 0
    /// Uploads that got through before an older one of the same device.
    private(set) var overtaken = 0
    private var model = ModelServer(roundsPins: true)
    /// What each device has not been answered yet.
    private var waiting: [Sender: [ModelServer.Upload]] = [:]

    init(stack: StackAddress, proxy: CuttingProxy, port: Int, generator: SeededGenerator) {
        self.stack = stack
        self.proxy = proxy
        self.port = port
        self.generator = generator
    }

    mutating func take(_ step: RandomHistory.Step) async throws {
        switch step {
        case .write(let write):
            guard model.allows(write) else { return }
            model.write(write)
            try await withConnection(to: stack.database) { try await $0.execute(script: write.sql) }
        case .upload(let upload):
            let sender = Sender(user: upload.user, device: upload.device)
            waiting[sender, default: []].append(upload)
            try await attempt(sender)
        }
    }

    /// Everything is sent until it is answered.
    mutating func finish() async throws {
        for user in ModelServer.User.allCases {
            for device in ModelServer.Device.all {
                let sender = Sender(user: user, device: device)
                while waiting[sender]?.isEmpty == false { try await attempt(sender) }
            }
        }
    }

    /// Sends one of the device's uploads, mostly the oldest.
    private mutating func attempt(_ sender: Sender) async throws {
        guard let queue = waiting[sender], !queue.isEmpty else { return }
        let index = queue.count > 1 && Int.random(in: 0..<3, using: &generator) == 0 ? 1 : 0
        let upload = queue[index]
        // It may have become one that the model cannot say: its device gives it up.
        guard !model.deletesNotesTogether(upload) else {
            waiting[sender]?.remove(at: index)
            return
        }
        let fate = fate(of: upload)
        proxy.set(fate)
        let answer = try? await send(upload)
        switch fate {
        case .passes:
            let lines = try #require(answer).lines()
            #expect(lines == model.upload(upload).map(\.shortLine))
            waiting[sender]?.remove(at: index)
        case .cutsRequest:
            #expect(answer == nil, "an answer to a request that did not get through")
            cutRequests += 1
        case .cutsAnswer:
            #expect(answer == nil, "an answer that was cut off")
            _ = model.upload(upload)
            cutAnswers += 1
        }
        if index > 0, answer != nil || fate == .cutsAnswer { overtaken += 1 }
    }

    private mutating func fate(of upload: ModelServer.Upload) -> CuttingProxy.Fate {
        switch Int.random(in: 0..<5, using: &generator) {
        case 0:
            let bytes = upload.json.utf8.count
            return .cutsRequest(after: Int.random(in: 0..<bytes, using: &generator))
        case 1: return .cutsAnswer
        default: return .passes
        }
    }

    /// On a connection of its own.
    private func send(_ upload: ModelServer.Upload) async throws -> WireDevice.Answer {
        var tls = TLSConfiguration.makeClientConfiguration()
        tls.trustRoots = .file(stack.authority)
        tls.maximumTLSVersion = .tlsv12
        var configuration = HTTPClient.Configuration(tlsConfiguration: tls)
        configuration.httpVersion = .http1Only
        let client = HTTPClient(
            eventLoopGroupProvider: .singleton, configuration: configuration)
        let answer: Result<WireDevice.Answer, any Error>
        do {
            let device = try await WireDevice(
                stack, client, user: upload.user.name, device: upload.device.name,
                through: "https://127.0.0.1:\(port)")
            answer = .success(try await device.upload(upload.json, atomic: upload.isAtomic))
        } catch {
            answer = .failure(error)
        }
        try await client.shutdown()
        return try answer.get()
    }

    /// Every user's feed, read past the proxy, is the model's log.
    ///
    /// What plain SQL and cascades caused may stand anywhere among the changes of its step; each row's versions
    /// still rise by one.
    func expectFeeds() async throws {
        for user in ModelServer.User.allCases {
            let read = try await stack.withClient { client in
                try await WireDevice(stack, client, user: user.name, device: "reader").feed()
            }
            let wanted = model.log(of: user).map(\.feedLine)
            let isServer = { (line: String) in line.hasPrefix("server ") }
            #expect(
                read.filter { !isServer($0.line) }.map(\.line) == wanted.filter { !isServer($0) })
            #expect(read.map(\.line).filter(isServer).sorted() == wanted.filter(isServer).sorted())
            #expect(read.map(\.sequence) == Array(1..<wanted.count + 1))
            for (row, changes) in Dictionary(grouping: read, by: \.row) {
                #expect(changes.map(\.version) == Array(1..<changes.count + 1), "\(row)")
            }
        }
    }
}
