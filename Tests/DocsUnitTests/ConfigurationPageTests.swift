import AuthService
import DownloadService
import Foundation
import Gateway
import ServiceKit
import Sidecar
import Testing
import UploadService

/// `Docs/configuration.md`, held against what the programs read.
struct ConfigurationPageTests {
    /// A key as the page or a program describes it.
    private struct Described: Hashable {
        let services: Set<String>
        let `default`: String
        let allowed: String
    }

    private static let page = "Docs/configuration.md"
    /// What each service reads in addition to `CommonSettings.all`.
    private static let own: [String: [any DescribedSetting]] = [
        "gateway": GatewaySettings.all, "auth": AuthService.settings,
        "upload": UploadService.settings, "download": DownloadService.settings,
    ]

    @Test func `every setting is on the page, with its services, default and limits`() throws {
        let (page, read) = (try Self.onPage(), Self.read())
        #expect(read.count > 35)
        #expect(Set(page.keys) == Set(read.keys))
        for (key, setting) in read { #expect(page[key] == setting, "\(key)") }
    }

    @Test func `every variable that any source names is on the page, and no other`() throws {
        let page = try Repository.text(of: Self.page)
        let listed = Set(
            page.matches(of: /(?m)^\| (`(?:OVERSYNC|OTEL)_[^|]+)\|/).flatMap { line in
                line.output.1.matches(of: /(?:OVERSYNC|OTEL)_[A-Z0-9_]+/).map { String($0.output) }
            })
        var named: Set<String> = []
        let sources = try Repository.texts(
            ofKinds: ["swift", "sh"], in: ["Client", "Services", "Shared", "Tools", "Tests"])
        for (_, text) in sources {
            named.formUnion(
                text.matches(of: /\bOVERSYNC_[A-Z0-9_]*[A-Z0-9]\b/).map { String($0.output) })
        }
        // The names of a pool's keys are put together; a generated enumeration is in capitals too.
        named.formUnion(Self.read().keys)
        named = named.filter { !$0.hasSuffix("_FILE") && !$0.hasPrefix("OVERSYNC__") }
        #expect(listed == named)
        // What a service does not take for a misspelt name.
        #expect(listed == KnownSettings.names)
    }

    @Test func `every key of oversync.yaml is on the page, and no other`() throws {
        let page = try Repository.text(of: Self.page)
        let section = try #require(page.components(separatedBy: "## oversync.yaml").last)
        let listed = section.matches(of: /(?m)^\| `([a-z_]+)` \|/).map { String($0.output.1) }
        let known = RegistrationFile.fileKeys.union(RegistrationFile.entryKeys)
        #expect(Set(listed) == known && listed.count == known.count)
    }

    /// The example must be one that is taken.
    @Test func `the page's example registers tables`() throws {
        let page = try Repository.text(of: Self.page)
        let example = try #require(page.firstMatch(of: /```yaml\n((?:.*\n)*?)```/))
        #expect(try RegistrationFile.parse(String(example.output.1)).count == 3)
    }

    private static func onPage() throws -> [String: Described] {
        var settings: [String: Described] = [:]
        for line in try Repository.text(of: page).split(separator: "\n")
        where line.hasPrefix("| `OVERSYNC_") || line.hasPrefix("| `OTEL_") {
            let cells = line.split(separator: "|").map {
                $0.trimmingCharacters(in: .whitespaces).replacing("`", with: "")
            }
            guard cells.count == 5 else { continue }
            settings[cells[0]] = Described(
                services: Set(cells[1].components(separatedBy: ", ")), default: cells[2],
                allowed: cells[3])
        }
        return settings
    }

    private static func read() -> [String: Described] {
        var services: [String: Set<String>] = [:]
        for (service, settings) in own {
            for setting in settings { services[setting.key, default: []].insert(service) }
        }
        for setting in CommonSettings.all { services[setting.key] = ["all"] }
        var read: [String: Described] = [:]
        for setting in CommonSettings.all + own.values.joined() {
            read[setting.key] = Described(
                services: services[setting.key] ?? [], default: setting.defaultText ?? "–",
                allowed: setting.allowed)
        }
        return read
    }
}
