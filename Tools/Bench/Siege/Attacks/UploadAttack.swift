import NIOCore

/// One user that uploads as much as one request may have, on many connections.
struct UploadAttack: Attack {
    /// The name that the tables refuse.
    private static let refusedName = "refused"
    private static let changes = 1000
    private static let pace: TimeAmount = .milliseconds(500)

    /// Makes the table of authors refuse a name: an upload of such rows is halved until each row
    /// stands alone, the dearest that an upload can be.
    static let refusingSchema = """

        ALTER TABLE business.users DROP CONSTRAINT IF EXISTS users_name_is_not_refused;
        ALTER TABLE business.users
            ADD CONSTRAINT users_name_is_not_refused CHECK (name <> '\(refusedName)');

        """

    static let rejected20 = UploadAttack(
        id: "rejected-20", work: "20 connections upload 1000 refused rows each",
        connections: 20, isRefused: true)
    static let rejected60 = UploadAttack(
        id: "rejected-60", work: "60 connections upload 1000 refused rows each",
        connections: 60, isRefused: true)
    static let good60 = UploadAttack(
        id: "good-60", work: "60 connections upload 1000 good rows each", connections: 60,
        isRefused: false)

    let id: String
    let work: String
    let connections: Int
    let isRefused: Bool

    func prepare(_ field: SiegeField) async throws -> Assault {
        let uploads = try await Uploads(
            field, connections: connections,
            isRefused ? Self.authors : UploadMix.inserts.slots(Self.changes),
            name: isRefused ? Self.refusedName : LoadText.name)
        let loop = field.loop(connections, pace: Self.pace) { uploads.request($0, $1) }
        let seconds = field.plan.seconds
        return { await loop.run(for: seconds) }
    }

    func requirements(_ seen: SiegeObservation) -> [Judgement] { seen.victimIsUnharmed }

    /// Posts without their authors would be refused before PostgreSQL sees them.
    private static var authors: [UploadMix.Slot] {
        (0..<changes).map {
            .init(operation: .insert, rows: .ofRequest, row: $0, author: nil, namesVersion: false)
        }
    }
}

/// Uploads of devices of one user, a device for each connection, made with little work.
struct Uploads: Sendable {
    private struct Sender: Sendable {
        let template: UploadTemplate
        let keys: LoadKeys
    }

    private let changes: Int
    private var senders: [Sender] = []

    /// - Parameters:
    ///   - name: what every author is called.
    ///   - user: one of the attack's users.
    init(
        _ field: SiegeField, connections: Int, _ slots: [UploadMix.Slot],
        name: String = LoadText.name, user: String = "attacker"
    ) async throws {
        changes = slots.count
        for index in 0..<connections {
            let device = try await field.device(user, "device-\(index)")
            senders.append(
                Sender(
                    template: UploadTemplate(slots, token: device.token, name: name),
                    keys: LoadKeys(seed: device.seed)))
        }
    }

    /// A replaced connection begins again with the device's first upload, which is then a repeat.
    func request(_ connection: Int, _ turn: Int) -> ByteBuffer {
        let sender = senders[connection % senders.count]
        return sender.template.filled(
            firstRow: turn * changes, firstChange: turn * changes + 1, version: 0,
            keys: sender.keys)
    }
}
