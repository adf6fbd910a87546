import HTTPTypes
import Model
import NIOCore
import Testing
import Waiting

@testable import Gateway

/// Bytes that requests hold, rejected tokens, and the files that connections need.
@Suite("Limits of memory, tokens and files")
struct MemoryLimitsTests {
    private let start = ContinuousClock.now

    private static func address(_ number: Int) -> PeerAddress {
        let text = "10.\(number >> 16 & 255).\(number >> 8 & 255).\(number & 255)"
        return PeerAddress(try? SocketAddress(ipAddress: text, port: 1))
    }

    private static func held(_ budget: ByteBudget, _ user: String) -> HeldBytes {
        HeldBytes(budget, of: UserID(user))
    }

    @Test("A user's bytes are refused by its share, all together by the total")
    func held() throws {
        let budget = ByteBudget(total: 400_000, share: 60_000)
        let first = Self.held(budget, "ada")
        try first.hold(40_000)
        let share = #expect(throws: WireError.self) { try Self.held(budget, "ada").hold(30_000) }
        #expect(share?.status == .tooManyRequests && share?.code == "share_used_up")
        #expect(share?.message.contains("60000 bytes") == true && share?.retryAfter != nil)
        let second = Self.held(budget, "ben")
        try second.hold(180_000)
        let total = #expect(throws: WireError.self) { try Self.held(budget, "eva").hold(100_000) }
        #expect(total?.status == .serviceUnavailable && total?.code == "overloaded")
        #expect(total?.message.contains("400000 bytes") == true && total?.retryAfter != nil)
        first.holdAnyway(270_000)
        #expect(budget.inUse == 450_000)
        withExtendedLifetime((first, second)) {}
    }

    @Test("Nothing is asked for whose answer would not fit")
    func room() throws {
        let budget = ByteBudget(total: 1_000_000, share: 100_000)
        let first = Self.held(budget, "ada")
        try first.hold(51_000)
        let second = Self.held(budget, "ada")
        // Half of a small share is what an answer may need.
        #expect(throws: WireError.self) { try second.hold(0, leavesRoom: true) }
        #expect(throws: WireError.self) { try second.hold(0, expected: 50_000) }
        try second.hold(0)
        try first.hold(50_000)
        try second.hold(0, expected: 50_000, leavesRoom: true)
        #expect(budget.inUse == 50_000)
        withExtendedLifetime((first, second)) {}
    }

    @Test("What is smaller than the request itself is not counted")
    func uncounted() throws {
        let budget = ByteBudget(total: 1_000_000, share: 100_000)
        let held = Self.held(budget, "ada")
        try held.hold(HeldBytes.uncountedBytes)
        #expect(budget.inUse == 0)
        held.holdAnyway(HeldBytes.uncountedBytes + 1)
        #expect(budget.inUse == HeldBytes.uncountedBytes + 1)
        held.holdAnyway(1)
        #expect(budget.inUse == 0)
    }

    @Test("A share that does not hold the largest body is told with both settings and numbers")
    func bodyBeyondShare() throws {
        #expect(HeldBytes.warnings(body: 16 << 20, share: 64 << 20, total: 256 << 20).isEmpty)
        let share = HeldBytes.warnings(body: 1000, share: 600, total: 8000)
        #expect(share.count == 1)
        let text = try #require(share.first)
        #expect(text.contains("OVERSYNC_MAX_USER_BUFFER_BYTES is 600"))
        #expect(text.contains("OVERSYNC_MAX_BODY_BYTES is 1000") && text.contains("429"))
        let total = try #require(HeldBytes.warnings(body: 1000, share: 2000, total: 2000).first)
        #expect(total.contains("OVERSYNC_MAX_BUFFER_BYTES is 2000") && total.contains("500"))
        #expect(total.contains("to 4000 or more"))
    }

    @Test("An address has so many rejected tokens, others have theirs, and good ones cost nothing")
    func rejections() {
        var allowance = RejectionAllowance(tokensPerSecond: 2)
        let (bad, good) = (Self.address(1), Self.address(2))
        for _ in 1...8 { #expect(allowance.begin(bad, now: start) == nil) }
        #expect(allowance.wait(bad, now: start) == .seconds(0.5))
        #expect(allowance.begin(bad, now: start) == .seconds(0.5))
        // Looking takes nothing.
        for _ in 1...100 { #expect(allowance.wait(good, now: start) == nil) }
        for _ in 1...100 {
            #expect(allowance.begin(good, now: start) == nil)
            allowance.accept(good, now: start)
        }
        #expect(allowance.count == 1)
        #expect(allowance.begin(bad, now: start + .seconds(1)) == nil)
    }

    @Test("Many tokens at once do not get past before the first is rejected")
    func atOnce() {
        var allowance = RejectionAllowance(tokensPerSecond: 1)
        let checked = (1...100).filter { _ in
            allowance.begin(Self.address(1), now: start) == nil
        }
        #expect(checked.count == 4)
    }

    @Test("Addresses beyond the number that is remembered make room")
    func remembered() {
        var allowance = RejectionAllowance(tokensPerSecond: 1)
        let most = RejectionAllowance.maximumAddresses
        for number in 0..<most { _ = allowance.begin(Self.address(number), now: start) }
        #expect(allowance.count == most)
        _ = allowance.begin(Self.address(most), now: start)
        #expect(allowance.count == 1)
        for number in 0..<most { _ = allowance.begin(Self.address(number), now: start) }
        #expect(allowance.count <= most)
    }

    @Test("Without a number there are as many connections as files leave room for")
    func derived() {
        #expect(ConnectionRoom.connections(0, files: 22_000) == 21_000)
        #expect(ConnectionRoom.connections(0, files: 1024) == 896)
        #expect(ConnectionRoom.connections(0, files: 8) == 1)
        #expect(ConnectionRoom.connections(0, files: 1 << 20) == ConnectionRoom.mostDerived)
        #expect(ConnectionRoom.connections(7, files: 8) == 7)
    }

    @Test("What does not fit is told with numbers and the setting to change")
    func warnings() throws {
        func warning(_ connections: Int, _ watchers: Int?, _ files: Int) throws -> String {
            let all = ConnectionRoom.warnings(
                connections: connections, watchers: watchers, files: files)
            return try #require(all.count == 1 ? all.first : nil)
        }
        let connections = try warning(30_000, nil, 22_000)
        #expect(connections.contains("MAX_CONNECTIONS is 30000"))
        #expect(connections.contains("may open 22000 files") && connections.contains("21000"))
        #expect(connections.contains("ulimit -n"))
        let watchers = try warning(0, 40_000, 22_000)
        #expect(watchers.contains("MAX_WATCHERS is 40000") && watchers.contains("21000"))
        #expect(try warning(10, 40, 22_000).contains("MAX_CONNECTIONS is 10"))
        #expect(try warning(0, nil, 1024).contains("896 connections"))
        for (connections, watchers) in [(0, nil), (21_000, 20_000), (100, nil)] {
            #expect(
                ConnectionRoom.warnings(
                    connections: connections, watchers: watchers, files: 22_000
                ).isEmpty)
        }
    }
}
