import ServiceKit
import Sidecar
import Testing

/// What programs say of themselves.
struct BuildInfoTests {
    @Test func `the layout that programs tell is the newest migration's`() {
        #expect(BuildInfo.layout == Migration.currentVersion)
    }
}
