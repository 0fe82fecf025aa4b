-- name: live
SELECT name, role, prefix, digest, expires_at, revoked_at, gateway, subject
  FROM access_tokens WHERE name = ANY($1::text[]) AND revoked_at IS NULL;

-- name: find
-- The time, and the token if there is one.
SELECT n.now, t.name, t.role, t.prefix, t.digest, t.expires_at, t.revoked_at,
       t.gateway, t.subject
  FROM (SELECT farm_now() AS now) AS n LEFT JOIN access_tokens t ON t.prefix = $1;

-- name: any
-- Of the API; what opens a gateway only does not close it.
SELECT EXISTS (SELECT FROM access_tokens WHERE gateway IS NULL);

-- name: list
-- $1: revoked ones too.
SELECT name, role, prefix, created_at, created_by, expires_at, revoked_at, revoked_by,
       gateway, subject, revoked_at IS NULL AND coalesce(expires_at > farm_now(), true) AS usable
  FROM access_tokens WHERE $1 OR revoked_at IS NULL ORDER BY name, id LIMIT 1000;

-- name: admins
SELECT count(*) FROM access_tokens
 WHERE role = 'admin' AND revoked_at IS NULL AND coalesce(expires_at > farm_now(), true);

-- name: revoke
UPDATE access_tokens t SET revoked_at = greatest($1::timestamptz, t.created_at), revoked_by = r.actor
  FROM unnest($2::text[], $3::text[]) AS r(prefix, actor)
 WHERE t.prefix = r.prefix AND t.revoked_at IS NULL;

-- name: add
INSERT INTO access_tokens (name, role, prefix, digest, created_at, created_by, expires_at, revoked_at, revoked_by,
                           gateway, subject)
SELECT n.name, n.role, n.prefix, n.digest, $1::timestamptz, n.created_by, n.expires_at,
       CASE WHEN n.revoked_by IS NOT NULL THEN $1::timestamptz END, n.revoked_by, n.gateway, n.subject
  FROM unnest($2::text[], $3::text[], $4::text[], $5::bytea[], $6::text[], $7::timestamptz[], $8::text[],
              $9::text[], $10::text[])
       AS n(name, role, prefix, digest, created_by, expires_at, revoked_by, gateway, subject);
