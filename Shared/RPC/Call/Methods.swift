import Protos

// The methods of Shared/Protos/Definitions. protoc-gen-swift leaves `service` blocks out; a test
// compares these names with the definitions.

/// Accepts changes.
package enum UploadRPC {
    package static let pushChanges = RPCMethod<PushChangesRequest, PushChangesReply>(
        "oversync.upload.v1.PushChanges")
    package static let noteHydration = RPCMethod<NoteHydrationRequest, NoteHydrationReply>(
        "oversync.upload.v1.NoteHydration")
    package static let readCapabilities = RPCMethod<ReadCapabilitiesRequest, ReadCapabilitiesReply>(
        "oversync.upload.v1.ReadCapabilities")
    package static let claimDevice = RPCMethod<ClaimDeviceRequest, ClaimDeviceReply>(
        "oversync.upload.v1.ClaimDevice")
    package static let leaseKeys = RPCMethod<LeaseKeysRequest, LeaseKeysReply>(
        "oversync.upload.v1.LeaseKeys")
    package static let listFailures = RPCMethod<ListFailuresRequest, ListFailuresReply>(
        "oversync.upload.v1.ListFailures")
    package static let retryFailure = RPCMethod<RetryFailureRequest, RetryFailureReply>(
        "oversync.upload.v1.RetryFailure")
    package static let listDevices = RPCMethod<ListDevicesRequest, ListDevicesReply>(
        "oversync.upload.v1.ListDevices")
    package static let setDeviceAccess = RPCMethod<SetDeviceAccessRequest, SetDeviceAccessReply>(
        "oversync.upload.v1.SetDeviceAccess")
    package static let showUser = RPCMethod<ShowUserRequest, ShowUserReply>(
        "oversync.upload.v1.ShowUser")
    package static let inspect = RPCMethod<InspectRequest, InspectReply>(
        "oversync.upload.v1.Inspect")
    package static let reportDevice = RPCMethod<ReportDeviceRequest, ReportDeviceReply>(
        "oversync.upload.v1.ReportDevice")
    package static let recordRefusal = RPCMethod<RecordRefusalRequest, RecordRefusalReply>(
        "oversync.upload.v1.RecordRefusal")
    package static let recordSettings = RPCMethod<RecordSettingsRequest, RecordSettingsReply>(
        "oversync.upload.v1.RecordSettings")

    /// All of them, by their full names.
    package static let names = [
        pushChanges.name, noteHydration.name, readCapabilities.name, claimDevice.name,
        leaseKeys.name, listFailures.name, retryFailure.name, listDevices.name,
        setDeviceAccess.name,
        showUser.name, inspect.name, reportDevice.name, recordRefusal.name, recordSettings.name,
    ]
}

/// Serves changes.
package enum DownloadRPC {
    package static let pullChanges = RPCMethod<PullChangesRequest, PullChangesReply>(
        "oversync.download.v1.PullChanges")
    package static let readBootstrap = RPCMethod<ReadBootstrapRequest, ReadBootstrapReply>(
        "oversync.download.v1.ReadBootstrap")
    package static let watchHead = RPCMethod<WatchHeadRequest, WatchHeadReply>(
        "oversync.download.v1.WatchHead")
    package static let noteHeads = RPCMethod<NoteHeadsRequest, NoteHeadsReply>(
        "oversync.download.v1.NoteHeads")
    package static let readDigest = RPCMethod<ReadDigestRequest, ReadDigestReply>(
        "oversync.download.v1.ReadDigest")
    package static let readRows = RPCMethod<ReadRowsRequest, PullChangesReply>(
        "oversync.download.v1.ReadRows")

    /// All of them, by their full names.
    package static let names = [
        pullChanges.name, readBootstrap.name, watchHead.name, noteHeads.name, readDigest.name,
        readRows.name,
    ]
}

/// Tokens and keys.
package enum AuthRPC {
    package static let getKeys = RPCMethod<GetKeysRequest, GetKeysReply>(
        "oversync.auth.v1.GetKeys")
    package static let issueToken = RPCMethod<IssueTokenRequest, IssueTokenReply>(
        "oversync.auth.v1.IssueToken")
    package static let developmentSignIn = RPCMethod<DevelopmentSignInRequest, IssueTokenReply>(
        "oversync.auth.v1.DevelopmentSignIn")
    package static let issueClientToken = RPCMethod<IssueClientTokenRequest, IssueTokenReply>(
        "oversync.auth.v1.IssueClientToken")
    package static let listKeys = RPCMethod<ListKeysRequest, ListKeysReply>(
        "oversync.auth.v1.ListKeys")

    /// All of them, by their full names.
    package static let names = [
        getKeys.name, issueToken.name, developmentSignIn.name, issueClientToken.name,
        listKeys.name,
    ]
}

/// What every service answers about its own process.
package enum ProcessRPC {
    package static let readPool = RPCMethod<ReadPoolRequest, ReadPoolReply>(
        "oversync.process.v1.ReadPool")

    /// All of them, by their full names.
    package static let names = [readPool.name]
}

/// What takes more than to reach a socket: tokens of anybody, tokens for certificates that the
/// caller says it was shown, and what administrators do. Where a service lists its callers, these
/// methods must be named.
package enum RPCAuthority {
    /// By their full names.
    package static let methods: Set = [
        AuthRPC.issueToken.name, AuthRPC.issueClientToken.name, AuthRPC.listKeys.name,
        UploadRPC.listFailures.name, UploadRPC.retryFailure.name, UploadRPC.listDevices.name,
        UploadRPC.setDeviceAccess.name, UploadRPC.showUser.name, UploadRPC.inspect.name,
    ]
}
