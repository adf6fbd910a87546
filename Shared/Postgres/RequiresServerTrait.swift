// For Shared/Postgres: whoever builds this repository without the trait is told what to do.
#if !Server
    #error("build this repository with `swift build --traits Server`, or with `make build`")
#endif
