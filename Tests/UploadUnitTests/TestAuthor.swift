import Model
import Sidecar
@testable import UploadService

extension ChangeAuthor {
    /// A device without roles.
    static let test = ChangeAuthor.caller(Caller(user: "ann", device: .init("phone"), roles: []))
}
