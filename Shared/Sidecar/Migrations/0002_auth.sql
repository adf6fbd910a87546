-- The Auth service's own tables. No other service's role may read them. The schema was `auth` up to layout 9:
-- other products have one of that name, so a new database never gets it from us.

CREATE SCHEMA oversync_auth;

-- Keys that sign tokens. The private half is sealed (AES-256-GCM) with the service's master key, so that
-- a copy of the database signs nothing.
CREATE TABLE oversync_auth.signing_key (
    kid text PRIMARY KEY,
    algorithm text NOT NULL CHECK (algorithm = 'ES256'),
    public_key bytea NOT NULL,
    sealed_private_key bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Signs from then on; until then it is only published, so that verifiers know it in time.
    active_from timestamptz NOT NULL DEFAULT now(),
    -- No longer published after that.
    retires_at timestamptz
);
