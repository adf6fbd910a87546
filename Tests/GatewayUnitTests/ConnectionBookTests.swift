import Model
import NIOCore
import Testing

@testable import Gateway

/// Which connection goes when there are too many.
@Suite("Connection book")
struct ConnectionBookTests {
    private let here = address("192.0.2.1")
    private let there = address("192.0.2.2")

    private static func address(_ text: String) -> PeerAddress {
        PeerAddress(try? SocketAddress(ipAddress: text, port: 1))
    }

    private func book(_ total: Int, perAddress: Int = 0, perUser: Int = 9) -> ConnectionBook {
        ConnectionBook(.init(total: total, perAddress: perAddress, perUser: perUser))
    }

    private func open(
        _ book: inout ConnectionBook, from address: PeerAddress? = nil
    ) -> ConnectionBook.Verdict {
        book.open(from: address ?? here).verdict
    }

    @Test("The connection that has been silent longest is closed for a new one")
    func silentGoes() {
        var book = book(3)
        for _ in 1...3 { #expect(open(&book) == .stays) }
        book.prove(1, user: UserID("ada"))
        #expect(open(&book) == .replaces(2))
        #expect(open(&book, from: there) == .replaces(3))
        #expect(open(&book) == .replaces(4))
        #expect(book.count == 3)
        book.prove(5, user: UserID("ada"))
        book.prove(6, user: UserID("ada"))
        #expect(open(&book) == .refused)
        book.close(1)
        #expect(open(&book) == .stays)
    }

    @Test("An address over its limit loses its own silent connections, and no others")
    func withinAddress() {
        var book = book(9, perAddress: 2)
        #expect(open(&book, from: there) == .stays)
        for _ in 1...2 { #expect(open(&book) == .stays) }
        #expect(open(&book) == .replaces(2))
        book.prove(3, user: UserID("ada"))
        book.prove(4, user: UserID("ada"))
        #expect(open(&book) == .refused)
        #expect(open(&book, from: there) == .stays)
        #expect(book.count == 4 && book.addressCount == 2)
    }

    @Test("A user's connections beyond its part count as silent, the oldest first")
    func userPart() {
        var book = book(4, perUser: 2)
        for id in 1...4 {
            #expect(open(&book) == .stays)
            book.prove(id, user: UserID(id < 4 ? "ada" : "ben"))
        }
        #expect(open(&book) == .replaces(1))
        book.prove(5, user: UserID("ada"))
        #expect(open(&book) == .replaces(2))
        book.prove(6, user: UserID("ben"))
        // Two of each are left: neither can be driven out.
        #expect(open(&book) == .refused)
    }

    @Test(
        "One that is made silent again is the last of the silent ones, and may prove itself again")
    func silentAgain() {
        var book = book(5, perUser: 2)
        for _ in 1...5 { _ = open(&book) }
        let ada = UserID("ada")
        for id in [1, 2] { #expect(book.prove(id, user: ada) == nil) }
        #expect(book.prove(3, user: ada) == 1)
        // Not where the first was when it came.
        #expect(open(&book) == .replaces(4))
        #expect(book.prove(1, user: ada) == 2)
        for id in [5, 6, 2] { #expect(open(&book) == .replaces(id)) }
        #expect(book.count == 5)
    }

    @Test("Users whose names are the same text in other bytes have parts of their own")
    func spellings() {
        var book = book(4, perUser: 1)
        for id in 1...2 {
            _ = open(&book)
            #expect(book.prove(id, user: UserID(id == 1 ? "\u{E9}va" : "e\u{301}va")) == nil)
        }
    }

    @Test("When the system has no file left, the one that has been silent longest goes")
    func noFile() {
        var book = book(9)
        for _ in 1...3 { _ = open(&book) }
        book.prove(1, user: UserID("ada"))
        #expect(book.makeRoom() == 2)
        #expect(book.makeRoom() == 3)
        #expect(book.makeRoom() == nil)
        #expect(book.count == 1)
    }

    @Test("What is closed, refused or replaced leaves nothing behind")
    func forgotten() {
        var book = book(2)
        _ = open(&book)
        book.prove(1, user: UserID("ada"))
        _ = open(&book, from: there)
        book.prove(2, user: UserID("ben"))
        #expect(open(&book) == .refused)
        book.prove(3, user: UserID("eva"))
        book.close(3)
        for id in [1, 2, 2] { book.close(id) }
        #expect(book.count == 0 && book.addressCount == 0)
        for _ in 1...2 { #expect(open(&book) == .stays) }
    }

    @Test("Thousands that come and go beside one silent connection cost no more than a few")
    func manyBeside() {
        var book = book(3)
        _ = open(&book)
        for id in 2...5000 {
            #expect(open(&book, from: there) == .stays)
            book.prove(id, user: UserID("ada"))
            book.close(id)
        }
        for _ in 1...2 { _ = open(&book) }
        #expect(open(&book) == .replaces(1))
    }

    @Test("The number that is derived leaves each user a part")
    func derived() {
        #expect(ConnectionBook.Limits(total: 20_000, perAddress: 0).perUser == 1000)
        #expect(ConnectionBook.Limits(total: 40, perAddress: 0).perUser == 16)
    }

    @Test("Clients are told apart by IPv4 address, and by the first half of an IPv6 address")
    func addresses() {
        #expect(here != there)
        #expect(here == Self.address("::ffff:192.0.2.1"))
        #expect(Self.address("2001:db8:1:2::1") == Self.address("2001:db8:1:2:ffff::9"))
        #expect(Self.address("2001:db8:1:2::1") != Self.address("2001:db8:1:3::1"))
        #expect(Self.address("::1") != Self.address("0.0.0.0"))
        #expect(PeerAddress(nil) == .unknown)
    }
}
