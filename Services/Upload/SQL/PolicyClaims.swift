import Model
import WireJSON

/// What the policies of tables with `row_security: true` learn of an upload: the setting
/// `request.jwt.claims` of its transaction, as PostgREST makes it for a request.
struct PolicyClaims {
    let user: UserID
    let device: DeviceID
    let roles: [String]

    /// The claims that the token carries under these names, as JSON. `role` is there for policies
    /// that compare one: if the token has exactly one role.
    var json: String {
        var json: [UInt8] = []
        json.append(literal: #"{"sub":"#)
        json.append(jsonString: user.value)
        if let role = roles.first, roles.count == 1 {
            json.append(literal: #","role":"#)
            json.append(jsonString: role)
        }
        json.append(literal: #","roles":["#)
        for (place, role) in roles.enumerated() {
            if place > 0 { json.append(byte: UInt8(ascii: ",")) }
            json.append(jsonString: role)
        }
        json.append(literal: #"],"did":"#)
        json.append(jsonString: device.value)
        json.append(byte: UInt8(ascii: "}"))
        return String(decoding: json, as: UTF8.self)
    }
}
