import Foundation
import TestTokens
import Testing

@testable import Gateway

/// Keys that come over HTTPS, from servers that mean well and others.
@Suite(.timeLimit(.minutes(1)))
struct KeyDownloadTests {
    private func withFolder(_ body: (String) async throws -> Void) async throws {
        let folder = "/tmp/oversync-keys-\(UUID().uuidString.prefix(8))"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try await body(folder)
    }

    private func download(
        _ url: String, _ authority: String? = nil, timeout: Duration = KeyDownload.timeout
    ) async throws -> KeySet {
        var download = KeyDownload(
            keys: .url(url, authority: authority), algorithms: Set(TokenAlgorithm.allCases))
        download.timeout = timeout
        return try await download()
    }

    /// What the reading ends with; nil if it has keys.
    private func flaw(
        _ url: String, _ authority: String? = nil, timeout: Duration = KeyDownload.timeout
    ) async -> String? {
        do {
            _ = try await download(url, authority, timeout: timeout)
            return nil
        } catch {
            return "\(error)"
        }
    }

    @Test func `keys come over TLS that the private authority vouches for, and no other`()
        async throws
    {
        try await withFolder { folder in
            let certificate = try TestCertificate(in: folder)
            let set = try TestKey.set([try TestKey("ES256", kid: "k")])
            try await IssuerServer.with(certificate, .document(set)) { server in
                let url = "https://localhost:\(server.port)/jwks"
                let keys = try await download(url, certificate.certificate)
                #expect(keys.knows("k") && keys.document == set)
                // The system's authorities know nothing of it.
                #expect(await flaw(url) != nil)
                // Another authority, and another name than the certificate's.
                try FileManager.default.createDirectory(
                    atPath: folder + "/other", withIntermediateDirectories: true)
                let other = try TestCertificate(in: folder + "/other").certificate
                #expect(await flaw(url, other) != nil)
                let byAddress = "https://127.0.0.2:\(server.port)/jwks"
                #expect(await flaw(byAddress, certificate.certificate) != nil)
                #expect(server.requests == 1)
            }
        }
    }

    @Test func `an answer is bounded in bytes and in time, and redirects are not followed`()
        async throws
    {
        let set = try TestKey.set([try TestKey("ES256", kid: "k")])
        try await IssuerServer.with(nil, .document(set)) { server in
            let url = "http://127.0.0.1:\(server.port)/jwks"
            #expect(await flaw(url) == nil)
            server.answer = .endless
            #expect(
                await flaw(url)?.contains("more than \(KeyDownload.maximumBytes) bytes") == true)
            server.answer = .document(
                set + String(repeating: " ", count: KeyDownload.maximumBytes))
            #expect(
                await flaw(url)?.contains("more than \(KeyDownload.maximumBytes) bytes") == true)
            for answer: IssuerServer.Answer in [.stalled, .silent] {
                server.answer = answer
                let start = ContinuousClock.now
                #expect(await flaw(url, timeout: .milliseconds(300)) != nil)
                #expect(.now - start < .seconds(5))
            }
            for status: UInt in [301, 302, 307, 404, 500, 204] {
                server.answer = .status(status, location: url + "/elsewhere")
                let before = server.requests
                #expect(await flaw(url)?.contains("answered \(status)") == true)
                #expect(server.requests == before + 1)
            }
            for text in ["", "<html>", #"{"keys":[]}"#] {
                server.answer = .document(text)
                #expect(await flaw(url)?.lowercased().contains("key set") == true)
            }
        }
        #expect(await flaw("http://127.0.0.1:1/jwks") != nil)
    }

    @Test func `keys in a file are bounded as well`() async throws {
        try await withFolder { folder in
            func flaw(_ text: String?) async throws -> String? {
                let path = folder + "/jwks.json"
                try text?.write(toFile: path, atomically: true, encoding: .utf8)
                do {
                    _ = try await KeyDownload(keys: .file(path), algorithms: [.es256])()
                    return nil
                } catch {
                    return "\(error)"
                }
            }
            #expect(try await flaw(nil)?.contains("cannot be read") == true)
            let set = try TestKey.set([try TestKey("ES256", kid: "k")])
            #expect(try await flaw(set) == nil)
            let large = set + String(repeating: " ", count: KeyDownload.maximumBytes)
            #expect(try await flaw(large)?.contains("larger than") == true)
            // Keys, but not for the issuer's algorithms.
            #expect(try await flaw(TestKey.set([TestKey("EdDSA", kid: "k")])) != nil)
        }
    }
}
