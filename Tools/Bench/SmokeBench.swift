import AsyncHTTPClient
import DevStack
import Foundation
import NIOCore
import NIOHTTP1
import OperatorKit
import Postgres
import Synchronization
import Tokens

/// A first look at the speed of a running stack: uploads, then downloads of what was uploaded, in a closed
/// loop through the gateway, with the share of processor time that each process took.
package struct SmokeBench: Sendable {
    /// Devices at once, each of its own user.
    private static let devices = 8
    private static let changesPerUpload = 200
    private static let uploadsPerDevice = 40
    private static let rowsPerPage = 1000
    private static let readsPerDevice = 5
    private static let timeout: TimeAmount = .seconds(60)

    private let stack: StackAddress
    private let say: @Sendable (String) -> Void

    package init(stack: StackAddress, say: @escaping @Sendable (String) -> Void) {
        self.stack = stack
        self.say = say
    }

    package func run() async throws {
        let secret = try String(contentsOfFile: stack.hs256SecretFile, encoding: .utf8)
        let mint = await TokenMint(hs256: secret)
        let run = Int(Date().timeIntervalSince1970)
        var devices: [LoadDevice] = []
        for index in 0..<Self.devices {
            devices.append(
                try await LoadDevice(user: "bench-\(run)-\(index)", device: "load", mint: mint))
        }
        try await stack.withClient { client in
            try await withConnection(to: stack.database) { connection in
                guard let backend = connection.backendProcess,
                    let postmaster = ProcessGroups.parent(of: backend)
                else { return }
                let groups = ProcessGroups(postmaster: postmaster, supervisor: stack.processID)
                try await measure(
                    "upload, \(Self.changesPerUpload) changes a request", "changes", devices,
                    groups
                ) { device in
                    try await upload(device, client)
                }
                try await measure(
                    "download, \(Self.rowsPerPage)-row pages", "rows", devices, groups
                ) { device in
                    try await download(device, client)
                }
            }
        }
    }

    private func measure(
        _ what: String, _ unit: String, _ devices: [LoadDevice], _ groups: ProcessGroups,
        _ work: @escaping @Sendable (LoadDevice) async throws -> Int
    ) async throws {
        let before = groups.usage()
        let start = ContinuousClock.now
        let total = try await withThrowingTaskGroup(of: Int.self) { group in
            for device in devices { group.addTask { try await work(device) } }
            return try await group.reduce(0, +)
        }
        let elapsed = ContinuousClock.now - start
        let seconds =
            Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
        let used = groups.usage().since(before)
        let all = used.seconds.values.reduce(0, +)
        say(
            "\(what), \(devices.count) at once: \(total) \(unit) in \(format(seconds)) s = \(Int(Double(total) / seconds)) \(unit)/s"
        )
        for (name, time) in used.seconds.sorted(by: { $0.value > $1.value }) where time > 0 {
            let perThousand = time * 1_000_000 / Double(total)
            say(
                "  \(name.padding(toLength: 18, withPad: " ", startingAt: 0)) \(percent(time, of: all)) of the CPU, \(format(perThousand)) ms per 1000 \(unit)"
            )
        }
    }

    private func upload(_ device: LoadDevice, _ client: HTTPClient) async throws -> Int {
        for round in 0..<Self.uploadsPerDevice {
            var request = device.request(stack.gateway + "/sync/upload")
            request.method = .POST
            request.body = .bytes(
                ByteBuffer(
                    bytes: LoadBody.inserts(
                        first: 1 + round * Self.changesPerUpload, count: Self.changesPerUpload)))
            let answer = try await execute(request, client)
            guard answer.count(of: #""status":"applied""#) == Self.changesPerUpload else {
                throw StackError(
                    "an upload was not applied whole: \(String(buffer: answer).prefix(300))")
            }
        }
        return Self.uploadsPerDevice * Self.changesPerUpload
    }

    private func download(_ device: LoadDevice, _ client: HTTPClient) async throws -> Int {
        var rows = 0
        for _ in 0..<Self.readsPerDevice {
            var after = 0
            while after < Self.uploadsPerDevice * Self.changesPerUpload {
                let url =
                    "\(stack.gateway)/sync/download?after=\(after)&limit=\(Self.rowsPerPage)&include_self=true"
                let answer = try await execute(device.request(url), client)
                let found = answer.count(of: #""server_id":"#)
                guard found > 0 else {
                    throw StackError("a page was empty: \(String(buffer: answer).prefix(300))")
                }
                rows += found
                after += found
            }
        }
        return rows
    }

    private func execute(_ request: HTTPClientRequest, _ client: HTTPClient) async throws
        -> ByteBuffer
    {
        let response = try await client.execute(request, timeout: Self.timeout)
        let body = try await response.body.collect(upTo: 32 << 20)
        guard response.status == .ok else {
            throw StackError("\(response.status): \(String(buffer: body).prefix(300))")
        }
        return body
    }

    private func format(_ number: Double) -> String { String(format: "%.2f", number) }

    private func percent(_ part: Double, of whole: Double) -> String {
        String(format: "%3.0f %%", whole > 0 ? part / whole * 100 : 0)
    }
}

extension ByteBuffer {
    fileprivate func count(of text: StaticString) -> Int {
        withUnsafeReadableBytes { occurrences(of: text, in: $0) }
    }
}
