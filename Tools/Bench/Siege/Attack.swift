import DevStack
import LocalPostgres
import NIOCore
import OperatorKit

/// What one user could do to the others, and what must hold meanwhile.
protocol Attack: Sendable {
    /// What `--only` calls it.
    var id: String { get }
    /// What the tables call it.
    var work: String { get }
    /// What the other user does in addition to the usual.
    var alsoByVictim: Set<Victim.Work> { get }
    /// Most files that the gateway may have open; nil for as many as this process may.
    var gatewayFiles: Int? { get }
    /// Settings of the services that are not what they are by default.
    var settings: [String: String] { get }

    /// Makes whatever the attack needs, so that it costs little once it runs: users, logs, bodies.
    func prepare(_ field: SiegeField) async throws -> Assault

    /// Judges what was seen.
    func requirements(_ seen: SiegeObservation) -> [Judgement]
}

extension Attack {
    var alsoByVictim: Set<Victim.Work> { [] }
    var gatewayFiles: Int? { nil }
    var settings: [String: String] { [:] }
}

/// The attack itself: returns when it is over.
typealias Assault = @Sendable () async throws -> AttackReport

/// What one attack may use: a running stack, its own event loop, and users that are its own.
struct SiegeField: Sendable {
    /// An attacker that gets no connection tries again: it does not wait as long as a device does.
    private static let connectTimeout: TimeAmount = .seconds(5)
    /// The programs of a stack.
    private static let services = ["auth", "upload", "download", "gateway"]

    let plan: SiegePlan
    let stack: Stack
    /// Where attacks go, on an event loop that the victim does not share.
    let target: LoadTarget
    let groups: ProcessGroups
    private let attack: String
    private let users: LoadUsers

    init(_ plan: SiegePlan, on stack: Stack, attack: String) async throws {
        self.plan = plan
        self.stack = stack
        self.attack = attack
        guard let postmaster = stack.postgres.process else {
            throw StackError("PostgreSQL does not run")
        }
        groups = ProcessGroups(postmaster: postmaster, supervisor: stack.address.processID)
        users = try await LoadUsers(of: stack.address, run: Int(plan.seed))
        target = try Self.target(stack, patience: Self.connectTimeout)
    }

    var database: String { stack.address.database }

    /// The numbers of the services' processes: one that ends is replaced by another.
    var processes: Set<Int32> {
        Set(Self.services.flatMap { ServiceProcesses.named("oversync-\($0)", of: stack.address) })
    }

    /// A target with an event loop of its own.
    func target(patience: TimeAmount) throws -> LoadTarget {
        try Self.target(stack, patience: patience)
    }

    private static func target(_ stack: Stack, patience: TimeAmount) throws -> LoadTarget {
        var target = try LoadTarget(port: stack.plan.port, authority: stack.address.authority)
        target.connectTimeout = patience
        return target
    }

    /// A device of a user that only this attack has.
    func device(_ user: String, _ device: String = "device") async throws -> LoadDevice {
        try await users.device("\(attack)-\(user)", device)
    }

    /// Users with logs that were written long ago.
    ///
    /// - Returns: a device of each.
    func readers(
        _ name: String, users count: Int = 1, changes: Int, contentTimes: Int = 1
    ) async throws -> [LoadDevice] {
        var preload = Preload(
            prefix: users.unique("\(attack)-\(name)"), users: count, changesPerUser: changes)
        preload.contentTimes = contentTimes
        try await preload.load(into: database, try await .read(from: database))
        var devices: [LoadDevice] = []
        for index in 0..<count {
            devices.append(try await users.device(ofUser: preload.user(index), "device"))
        }
        return devices
    }

    /// Asks once, as ordinary users do, so that the user is known and buffers and caches are warm.
    func ask(_ request: ByteBuffer) async throws {
        let asker = try await Asker(target)
        defer { asker.close() }
        _ = try await asker.ask(request)
    }

    func loop(
        _ connections: Int, pace: TimeAmount, _ request: @escaping AttackLoop.Request
    ) -> AttackLoop {
        AttackLoop(target: target, connections: connections, pace: pace, request: request)
    }
}

/// All attacks, in the order of the tables.
enum Attacks {
    static let all: [any Attack] = [
        UploadAttack.rejected20, UploadAttack.rejected60, UploadAttack.good60, PageAttack(),
        ComparisonAttack.digests, ComparisonAttack.rows60,
        SmallRequestAttack(), LockedLogAttack(), EightDevices(), StalledStreams(),
        BodyAttack.uploads, BodyAttack.gzip, HeldRequestAttack(), SilentConnections(),
        BadTokens(), ManyDevices(),
    ]
}
