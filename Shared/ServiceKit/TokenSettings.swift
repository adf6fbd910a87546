/// The keys that the service which writes tokens and the one which reads them must agree on.
package enum TokenSettings {
    /// What Auth writes as issuer and audience when nothing is configured. The gateway then checks neither,
    /// so that the tokens of existing back ends stay good.
    package static let defaultName = "oversync"

    /// Shortest master key, in bytes.
    private static let minimumMasterKeyBytes = 32

    package static let masterKey = Setting.secret(
        "OVERSYNC_AUTH_MASTER_KEY", "secret that seals the signing keys in the database",
        minimumBytes: minimumMasterKeyBytes, isRequired: true)
    package static let previousMasterKey = Setting.secret(
        "OVERSYNC_AUTH_MASTER_KEY_PREVIOUS",
        "the secret before it, while oversync keys reseal has not replaced it",
        minimumBytes: minimumMasterKeyBytes)
    package static let issuer = Setting.text(
        "OVERSYNC_JWT_ISSUER", "the tokens' iss; the gateway refuses others when it is set")
    package static let audience = Setting.text(
        "OVERSYNC_JWT_AUDIENCE", "the tokens' aud; the gateway refuses others when it is set")
    /// The gateway lets nobody else reach what is for administrators, and the service that acts
    /// checks it again.
    package static let adminRole = Setting.role(
        "OVERSYNC_ADMIN_ROLE", "the role in a token's roles that opens /admin", default: "admin")
    package static let developmentSignIn = Setting.flag(
        "OVERSYNC_DEV_SIGN_IN", "true lets anyone sign in as anyone: for development only")
}
