import DevStack
import NIOCore
import OperatorKit

/// One device that uploads without end.
struct UploadSource: RequestSource {
    /// Rows that a device updates, in requests' worth: they are written in turn.
    static let updatedRequests = 5

    let mix: UploadMix
    let changes: Int
    private let keys: LoadKeys
    private let priming: UploadTemplate
    private let template: UploadTemplate
    private var asked = 0
    private var nextChange = 1
    private var isPriming = false
    /// Sequence of the user's newest change, as the last answer says.
    private(set) var head = 0

    init(_ device: LoadDevice, _ mix: UploadMix, changes: Int) {
        self.mix = mix
        self.changes = changes
        keys = LoadKeys(seed: device.seed)
        priming = UploadTemplate(
            UploadMix.inserts.slots(mix.primedRows(changes)), token: device.token)
        template = UploadTemplate(mix.slots(changes), token: device.token)
    }

    /// Requests of each device that make the rows the mix needs.
    static func primingRequests(_ mix: UploadMix) -> Int {
        switch mix {
        case .inserts: 0
        case .updates: updatedRequests
        case .deletes, .conflicts: 1
        }
    }

    mutating func next() -> ByteBuffer {
        let primers = Self.primingRequests(mix)
        let primed = mix.primedRows(changes)
        let turn = asked
        asked += 1
        isPriming = turn < primers
        defer { nextChange += isPriming ? primed : changes }
        if isPriming {
            return priming.filled(
                firstRow: turn * primed, firstChange: nextChange, version: 0, keys: keys)
        }
        let measured = turn - primers
        return switch mix {
        case .updates:
            template.filled(
                firstRow: measured % Self.updatedRequests * changes, firstChange: nextChange,
                version: 1 + measured / Self.updatedRequests, keys: keys)
        case .inserts, .deletes, .conflicts:
            template.filled(
                firstRow: primers * primed + measured * mix.newRows(changes),
                firstChange: nextChange, version: 1, keys: keys)
        }
    }

    mutating func take(_ body: UnsafeRawBufferPointer) throws -> Int {
        let sent = isPriming ? mix.primedRows(changes) : changes
        let conflicts = isPriming ? 0 : mix.conflicts(changes)
        let applied = occurrences(of: #""status":"applied""#, in: body)
        guard applied == sent - conflicts,
            conflicts == 0 || occurrences(of: #""status":"conflict""#, in: body) == conflicts
        else {
            throw StackError(
                "an upload was not answered as it should: \(String(decoding: body, as: UTF8.self).prefix(300))"
            )
        }
        head = AnswerNumber.first(#""highest_server_seq":"#, in: body) ?? head
        return sent
    }
}

extension UploadMix {
    /// Rows that one priming request makes.
    func primedRows(_ changes: Int) -> Int {
        switch self {
        case .inserts, .updates: changes
        case .deletes, .conflicts: changes / 2
        }
    }
}
