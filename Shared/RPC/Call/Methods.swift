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
    package static let recordRefusal = RPCMethod<RecordRefusalRequest, RecordRefusalReply>(
        "oversync.upload.v1.RecordRefusal")
    package static let recordSettings = RPCMethod<RecordSettingsRequest, RecordSettingsReply>(
        "oversync.upload.v1.RecordSettings")
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
}
