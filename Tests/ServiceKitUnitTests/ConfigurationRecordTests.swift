import Foundation
import Testing

@testable import ServiceKit

/// What the audit keeps of a service's settings.
struct ConfigurationRecordTests {
    private static let program = ServiceProgram(
        name: "oversync-test", purpose: "is a test",
        settings: [
            Setting.text("T_TEXT", "text"), Setting.secret("T_SECRET", "secret"),
            Setting.integer("T_NUMBER", "number", default: 3, in: 1...9),
        ], socketFolder: nil, check: { _ in [] })

    private static func settings(_ environment: [String: String]) throws -> [String: String] {
        let text = ConfigurationRecord.settings(
            of: program, in: Configuration(environment: environment))
        return try JSONDecoder().decode([String: String].self, from: Data(text.utf8))
    }

    @Test func `only what is set is kept, with the version, and no secret is`() throws {
        #expect(try Self.settings([:]) == ["version": BuildInfo.version])
        let kept = try Self.settings([
            "T_TEXT": "a \"quoted\" text", "T_SECRET": "hush",
            "T_NUMBER": "4", "OVERSYNC_DATABASE_URL": "postgresql://u:hush@h/d",
            "OVERSYNC_LOG_LEVEL": "debug", "HOME": "/root",
        ])
        #expect(
            kept == [
                "version": BuildInfo.version, "T_TEXT": "a \"quoted\" text",
                "T_NUMBER": "4", "OVERSYNC_LOG_LEVEL": "debug",
            ])
    }

    @Test func `what differs between replicas is left out`() throws {
        let kept = try Self.settings([
            "OVERSYNC_REPLICA": "two", "OVERSYNC_ADMIN_PORT": "9191",
            "OVERSYNC_STOP_WITH_STDIN": "true",
        ])
        #expect(kept == ["version": BuildInfo.version])
    }

    @Test func `a long text is shortened, one with NUL loses it`() throws {
        let long = String(repeating: "ö", count: 500)
        let kept = try Self.settings(["T_TEXT": "\0" + long])
        let text = try #require(kept["T_TEXT"])
        #expect(text.hasPrefix(String(repeating: "ö", count: 100) + "… (1000 bytes, hash "))
        // A change after the part that is kept is a change all the same.
        let other = try Self.settings(["T_TEXT": "\0" + long.dropLast() + "ä"])["T_TEXT"]
        #expect(other?.count == text.count && other != text)
    }
}
