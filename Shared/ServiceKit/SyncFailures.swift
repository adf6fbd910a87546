import RPC

// Failures that more than one service answers with.

extension RPCFailure {
    /// The device's token is still good for a moment, the device is not.
    package static let deviceRevoked = RPCFailure(
        .permissionDenied, code: "device_revoked", message: "This device's access was revoked")

    /// A device that a header names belongs to the user who named it first.
    package static let deviceTaken = RPCFailure(
        .permissionDenied, code: "device_taken",
        message: "This device belongs to another user; name one that was never used")

    /// Names of devices are the client's invention: their number is bounded.
    package static let tooManyDevices = RPCFailure(
        .permissionDenied, code: "too_many_devices",
        message: "This user has as many devices as may be; name one that was used before")

    /// What the device knows comes from before a restore.
    package static let epochChanged = RPCFailure(
        .conflict, code: "epoch_changed",
        message: "The server's history is another one since it was restored; "
            + "read /sync/bootstrap and download from 0")

    /// The device knows changes that the log does not have: a backup was restored, or a standby was
    /// promoted that lacked them.
    package static let historyForked = RPCFailure(
        .conflict, code: "history_forked",
        message: "The server has lost changes that this device knows of; "
            + "download from 0 and send again what was lost")

    /// The change by which the device would prove that it knows this history was compacted away.
    package static let historyUnproven = RPCFailure(
        .conflict, code: "history_unproven",
        message:
            "The server no longer keeps the change that this device names as the last one it "
            + "knows, so their histories may differ; download from 0")
}

extension CallContext {
    /// On whose behalf the call is made.
    ///
    /// - Throws: a failure that only a fault of the gateway can bring about.
    package func requiredCaller() throws(RPCFailure) -> CallerIdentity {
        guard let caller else {
            throw RPCFailure(
                .unauthenticated, code: "authentication_failed", message: "No caller identity")
        }
        return caller
    }
}
