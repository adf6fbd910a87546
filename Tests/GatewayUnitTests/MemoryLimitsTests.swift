import HTTPTypes
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

    @Test("A user's bytes are refused by its share, all together by the total")
    func held() throws {
        let budget = ByteBudget(total: 100, share: 60)
        let first = HeldBytes(budget, of: "ada")
        try first.hold(40)
        let share = #expect(throws: WireError.self) { try HeldBytes(budget, of: "ada").hold(30) }
        #expect(share?.status == .tooManyRequests && share?.code == "share_used_up")
        #expect(share?.message.contains("60 bytes") == true && share?.retryAfter != nil)
        let second = HeldBytes(budget, of: "ben")
        try second.hold(50)
        let total = #expect(throws: WireError.self) { try HeldBytes(budget, of: "eva").hold(20) }
        #expect(total?.status == .serviceUnavailable && total?.code == "overloaded")
        #expect(total?.message.contains("100 bytes") == true && total?.retryAfter != nil)
        first.holdAnyway(70)
        #expect(budget.inUse == 120)
        withExtendedLifetime((first, second)) {}
    }

    @Test("Nothing is asked for whose answer would not fit")
    func room() throws {
        let budget = ByteBudget(total: 1000, share: 100)
        let first = HeldBytes(budget, of: "ada")
        try first.hold(51)
        let second = HeldBytes(budget, of: "ada")
        // Half of a small share is what an answer may need.
        #expect(throws: WireError.self) { try second.hold(0, leavesRoom: true) }
        try second.hold(0)
        try first.hold(50)
        try second.hold(0, leavesRoom: true)
        #expect(budget.inUse == 50)
        withExtendedLifetime((first, second)) {}
    }

    @Test("An address has so many rejected tokens, others have theirs, and good ones cost nothing")
    func rejections() {
        var allowance = RejectionAllowance(tokensPerSecond: 2)
        let (bad, good) = (Self.address(1), Self.address(2))
        for _ in 1...8 { #expect(allowance.begin(bad, now: start) == nil) }
        #expect(allowance.begin(bad, now: start) == .seconds(0.5))
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
