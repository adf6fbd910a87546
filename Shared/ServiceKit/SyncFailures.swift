import RPC

// Failures that more than one service answers with.

extension RPCFailure {
    /// The device's token is still good for a moment, the device is not.
    package static let deviceRevoked = RPCFailure(
        .permissionDenied, code: "device_revoked", message: "This device's access was revoked")

    /// What the device knows comes from before a restore.
    package static let epochChanged = RPCFailure(
        .conflict, code: "epoch_changed",
        message: "The server's history is another one since it was restored; "
            + "read /sync/bootstrap and download from 0")
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
