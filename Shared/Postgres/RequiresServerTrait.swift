// For Shared/Postgres: a build of this repository without the trait fails with advice.
#if !Server
    #error("build this repository with `swift build --traits Server`, or with `make build`")
#endif
