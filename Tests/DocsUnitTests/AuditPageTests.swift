import Sidecar
import Testing

/// `Docs/audit.md` is the only list of what operators find in the audit.
struct AuditPageTests {
    @Test func `the page names every action, outcome and kind of actor`() throws {
        let page = try Repository.text(of: "Docs/audit.md")
        let names =
            AuditAction.allCases.map(\.rawValue) + AuditOutcome.allCases.map(\.rawValue)
            + AuditOrigin.ActorKind.allCases.map(\.rawValue)
        for name in names { #expect(page.contains("`\(name)`"), "\(name)") }
    }

    @Test func `it gives the bounds of a row as they are`() throws {
        let page = try Repository.text(of: "Docs/audit.md")
        let sentence =
            "Names are cut to \(AuditEntry.maximumNameBytes) bytes, targets to "
            + "\(AuditEntry.maximumTargetBytes), codes to \(AuditEntry.maximumCodeBytes); "
            + "details of more than \(AuditEntry.maximumDetailBytes >> 10) KiB are left out."
        #expect(page.contains(sentence))
    }
}
