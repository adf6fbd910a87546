import Compression
import HummingbirdCore
import NIOCore
import OverSQLite
import Protos

@testable import Gateway

extension FuzzEntry {
    /// Compressed bodies, at both ends: what is taken stays within its limit, and is the same.
    static let gzip = FuzzEntry(
        "gzip", mostBytes: 4096,
        now: { bytes in
            let limit = 150_000
            var asked = 0
            let gateway = try? Compression.Gzip.inflate(
                ByteBuffer(bytes: bytes), limit: limit,
                mayTake: {
                    asked = max(asked, $0)
                    return true
                })
            try hold(asked <= limit + (64 << 10), "memory stays within the limit")
            let device = OverSQLite.Gzip.inflate(bytes, limit: limit)
            try hold(device?.count ?? 0 <= limit, "a device's memory stays within the limit")
            guard let gateway else { return }
            let whole = Array(gateway.readableBytesView)
            try hold(whole.count <= limit, "a body stays within the limit")
            // A device reads the first of several members.
            try hold(device.map { whole.starts(with: $0) } == true, "both ends read the same")
            let again = Compression.Gzip.deflate(gateway).flatMap {
                try? Compression.Gzip.inflate($0, limit: limit)
            }
            try hold(again == gateway, "what was compressed comes back")
        })

    /// Forms of back ends with their credentials, and the parameters of a path.
    static let forms = FuzzEntry(
        "forms", mostBytes: 2048,
        now: { bytes in
            let (choice, rest) = bytes.chosen(of: 2)
            guard choice == 0 else {
                let uri = URI("/sync/download?" + String(decoding: rest, as: UTF8.self))
                let query = try? DownloadQuery(uri.queryParameters, maximumRows: 1000)
                try hold(
                    query.map { 1...1000 ~= $0.message.limit && $0.message.after >= 0 } ?? true,
                    "a page is bounded")
                _ = try? DigestQuery(uri.queryParameters)
                return
            }
            // A line for the header, and the form.
            let parts = rest.split(separator: UInt8(ascii: "\n"), maxSplits: 1)
            let header = parts.first.map { String(decoding: $0, as: UTF8.self) }
            guard let form = try? Form(ByteBuffer(bytes: parts.count > 1 ? parts[1] : [])) else {
                return
            }
            for authorization in [nil, header] {
                guard let who = try? ClientCredentials(authorization, form) else { continue }
                try hold(
                    authorization != nil || who.id == form["client_id"], "a client is who it says")
            }
        })
}
