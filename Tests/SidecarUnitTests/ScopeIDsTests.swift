import Model
import Sidecar
import Testing

@Suite("Remembered numbers of scopes")
struct ScopeIDsTests {
    private static let ann = UserID("ann")

    @Test("A scope is remembered until it is forgotten")
    func remembers() {
        let scopes = ScopeIDs()
        #expect(scopes.scope(of: Self.ann) == nil)
        let first = NamedScope(id: 1, user: Self.ann)
        scopes.remember(first)
        #expect(scopes.scope(of: Self.ann) == first)
        scopes.forget(first)
        #expect(scopes.scope(of: Self.ann) == nil)
    }

    @Test("What was remembered meanwhile is not forgotten with what was outdated")
    func forgets() {
        let scopes = ScopeIDs()
        let (first, second) = (NamedScope(id: 1, user: Self.ann), NamedScope(id: 2, user: Self.ann))
        scopes.remember(first)
        scopes.remember(second)
        scopes.forget(first)
        #expect(scopes.scope(of: Self.ann) == second)
    }

    @Test("Names are one user's byte for byte")
    func spellings() {
        let scopes = ScopeIDs()
        scopes.remember(NamedScope(id: 1, user: UserID("\u{e9}")))
        #expect(scopes.scope(of: UserID("e\u{301}")) == nil)
    }

    @Test("No more users are remembered than there is room for; those who are met again stay")
    func bounded() {
        let scopes = ScopeIDs(usersPerGeneration: 10)
        for number in 0..<1000 {
            scopes.remember(NamedScope(id: Int64(number), user: UserID("user-\(number)")))
            #expect(scopes.scope(of: UserID("user-0"))?.id == 0)
            #expect(scopes.count <= 20)
        }
        #expect(scopes.scope(of: UserID("user-999"))?.id == 999)
        #expect(scopes.scope(of: UserID("user-5")) == nil)
    }

    @Test("A scope that has not been met for a while can be forgotten, too")
    func forgetsOld() {
        let scopes = ScopeIDs(usersPerGeneration: 1)
        let first = NamedScope(id: 1, user: Self.ann)
        scopes.remember(first)
        scopes.remember(NamedScope(id: 2, user: UserID("bob")))
        scopes.forget(first)
        #expect(scopes.scope(of: Self.ann) == nil)
        #expect(scopes.scope(of: UserID("bob"))?.id == 2)
    }
}
