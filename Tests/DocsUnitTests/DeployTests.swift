import Foundation
import Gateway
import ServiceKit
import Sidecar
import Testing

/// The files of `Deploy/`, held against the programs that they start and the settings that those read.
struct DeployTests {
    private static let services = ["gateway", "upload", "download", "auth"]
    private static let secretFolder = "/run/secrets/"

    @Test func `every OVERSYNC setting that a file of Deploy names exists`() throws {
        let known = try ConfigurationPage.keys()
        var named: Set<String> = []
        for path in try DeployFiles.all() {
            let text = try Repository.text(of: path)
            for match in text.matches(of: /\bOVERSYNC_[A-Z0-9_]*[A-Z0-9]\b/) {
                let key = String(match.output)
                named.insert(key.hasSuffix("_FILE") ? String(key.dropLast(5)) : key)
            }
        }
        let unknown = named.subtracting(known).sorted()
        #expect(unknown.isEmpty)
        #expect(named.count > 30)
    }

    @Test func `the example of .env shows each setting's default`() throws {
        let known = try ConfigurationPage.defaults()
        let shown = try DeployFiles.example().filter {
            $0.key.hasPrefix("OVERSYNC_") && !$0.key.hasSuffix("_FILE")
        }
        #expect(shown.count > 20)
        for (key, value) in shown where known[key] != nil {
            #expect(known[key] == (value.isEmpty ? "–" : value), "\(key)")
        }
        for role in ServiceRole.allCases {
            #expect(shown["OVERSYNC_\(role.rawValue.uppercased())_ROLE"] == role.defaultName)
        }
    }

    @Test func `the example of .env lists what the compose files take, with the same defaults`()
        throws
    {
        var taken: [String: String] = [:]
        for path in try DeployFiles.all() where path.hasSuffix(".yaml") {
            let text = try Repository.text(of: path)
            for match in text.matches(of: /\$\{([A-Z0-9_]+)(?::?([-?])([^}]*))?\}/) {
                let (key, kind) = (String(match.output.1), match.output.2)
                let value = kind == "-" ? String(match.output.3 ?? "") : ""
                // Where the bundled PostgreSQL is does not stand in the example.
                if key == "DATABASE_HOST" { continue }
                #expect(
                    taken[key] == nil || taken[key] == value, "\(path): \(key) has two defaults")
                taken[key] = value
            }
        }
        #expect(taken.count > 25)
        let shown = try DeployFiles.example()
        for (key, value) in taken { #expect(shown[key] == value, "\(key)") }
        let others = ["COMPOSE_FILE", "DATABASE_HOST"]
        for key in shown.keys where !key.hasPrefix("OVERSYNC_") && !others.contains(key) {
            #expect(taken.keys.contains(key), "no compose file takes \(key)")
        }
    }

    @Test(arguments: services)
    func `a service has its image, and is given what it must be given`(name: String) throws {
        let service = try DeployFiles.service(name)
        let image = try #require(try Dockerfile.targets()[name])
        let program = "oversync-\(name)"
        #expect(try Repository.text(of: "Package.swift").contains("executable: \"\(program)\""))
        #expect(image.entrypoint == [program])
        #expect(image.healthcheck == [program, "--health"])
        #expect(image.lines.contains { $0.hasPrefix("COPY") && $0.contains("/\(program) ") })
        #expect(service.text("image")?.contains("-\(name):") == true)
        #expect(service.map("build")?.text("target") == name)

        let given = Set(service.map("environment")?.keys.map { $0 } ?? [])
        for key in try ConfigurationPage.required(of: name) {
            #expect(given.contains(key) || given.contains(key + "_FILE"), "\(key)")
        }
    }

    @Test(arguments: services + ["migrate", "tool", "demo", "postgres", "pgbouncer"])
    func `no process has rights or room that it does not need`(name: String) throws {
        let service = try DeployFiles.service(name)
        #expect(service.list("cap_drop") == ["ALL"])
        #expect(service.list("security_opt") == ["no-new-privileges:true"])
        #expect(service.isTrue("read_only"))
        #expect(service.text("user") == (name == "postgres" ? "999:999" : "10001:10001"))
        #expect(service.text("mem_limit") != nil && service.text("pids_limit") != nil)
        #expect(service.map("logging")?.map("options")?.text("max-size") == "10m")
        #expect(service.text("privileged") == nil && service.list("cap_add").isEmpty)
    }

    @Test(arguments: services)
    func `a service is started again, and has the time that it needs to end`(name: String) throws {
        let service = try DeployFiles.service(name)
        #expect(service.text("restart") == "unless-stopped")
        let grace = try #require(service.text("stop_grace_period")?.wholeMatch(of: /(\d+)s/))
        #expect(try #require(Int(grace.output.1)) > ServiceProcess.shutdownSeconds)
        let dockerfile = try Repository.text(of: "Deploy/Dockerfile")
        #expect(
            dockerfile.contains("STOPSIGNAL SIGTERM") && dockerfile.contains("USER 10001:10001"))
    }

    @Test(arguments: services)
    func `a service finds the others' sockets`(name: String) throws {
        let directory = try #require(CommonSettings.runDirectory.defaultText)
        #expect(try DeployFiles.service(name).list("volumes") == ["sockets:\(directory)"])
        let dockerfile = try Repository.text(of: "Deploy/Dockerfile")
        #expect(dockerfile.contains("install -d -o 10001 -g 10001 -m 0750 \(directory)"))
    }

    @Test(arguments: services + ["migrate", "tool", "demo", "postgres", "pgbouncer"])
    func `secrets are files that the service names, and setup makes`(name: String) throws {
        let service = try DeployFiles.service(name)
        let named = Set(service.list("secrets"))
        let setup = try Repository.text(of: "Deploy/setup.sh")
        let (environment, kinds) =
            (service.map("environment") ?? [:], try ConfigurationPage.allowed())
        for (key, value) in environment {
            let value = "\(value)".replacing(/\$\{[^}]*\}/, with: "variable")
            if value.hasPrefix(Self.secretFolder) {
                #expect(named.contains(String(value.dropFirst(Self.secretFolder.count))), "\(key)")
            }
            if kinds[key]?.hasPrefix("secret") == true {
                // A connection string without its password is none.
                #expect(key.hasSuffix("_DATABASE_URL") && value.contains(/^postgresql:\/\/[^:@]+@/))
            }
            #expect(!key.contains("PASSWORD") || key.hasSuffix("_FILE"), "\(key)")
        }
        for secret in named {
            let file = try #require(try DeployFiles.secretFile(secret), "\(secret)")
            let base = file.replacing(/^.*\//, with: "")
            let stem = base.replacing(/_password$|\.(pem|key)$/, with: "")
            #expect(setup.contains(base) || setup.contains(stem), "setup.sh does not make \(file)")
        }
    }

    @Test func `the gateway is reached where it listens, and reaches no database`() throws {
        let gateway = try DeployFiles.service("gateway")
        let inside = try #require(gateway.map("environment")?.text("OVERSYNC_GATEWAY_PORT"))
        let published = try #require(gateway.list("ports").first)
        #expect(gateway.list("ports").count == 1 && published.hasSuffix(":\(inside)"))
        let image = try #require(try Dockerfile.targets()["gateway"])
        #expect(image.lines.contains("EXPOSE \(inside)"))
        #expect(image.base == "runtime")
        #expect(gateway.map("networks")?.keys.map { $0 } == ["edge"])
        for name in ["upload", "download", "auth"] {
            #expect(try #require(try Dockerfile.targets()[name]).base == "runtime-postgres")
            #expect(try DeployFiles.service(name).list("ports").isEmpty)
        }
    }

    @Test func `the example of oversync.yaml is one that is taken`() throws {
        let text = try Repository.text(of: "Deploy/config/oversync.example.yaml")
        #expect(try RegistrationFile.parse(text).isEmpty)
    }
}
