-- name: PutDocuments :exec
INSERT INTO stowage.documents AS d (workspace, object, rev, version, state, path, parent, content_type, size, updated_at, tags, name_words, tag_words, meta_words)
SELECT unnest(@workspaces::text[]), unnest(@objects::text[]), unnest(@revs::bigint[]), unnest(@versions::text[]), unnest(@states::text[]), unnest(@paths::text[]), unnest(@parents::text[]), unnest(@content_types::text[]), unnest(@sizes::bigint[]), unnest(@updated_ats::timestamptz[]), unnest(@tags::text[])::jsonb, unnest(@name_words::text[]), unnest(@tag_words::text[]), unnest(@meta_words::text[])
ON CONFLICT (workspace, object) DO UPDATE SET
	rev = excluded.rev, version = excluded.version, state = excluded.state, path = excluded.path, parent = excluded.parent,
	content_type = excluded.content_type, size = excluded.size, updated_at = excluded.updated_at, tags = excluded.tags,
	name_words = excluded.name_words, tag_words = excluded.tag_words, meta_words = excluded.meta_words,
	body = CASE WHEN d.version = excluded.version AND excluded.state <> 'purged' THEN d.body END
WHERE d.rev < excluded.rev;

-- name: PutBodies :exec
UPDATE stowage.documents d SET body = b.body
FROM (SELECT unnest(@workspaces::text[]) AS workspace, unnest(@objects::text[]) AS object, unnest(@versions::text[]) AS version, unnest(@bodies::text[]) AS body) AS b
WHERE d.workspace = b.workspace AND d.object = b.object AND d.version = b.version AND d.body IS NULL AND d.state <> 'purged';

-- name: AddWords :many
SELECT l.workspace::text AS workspace FROM stowage.add_words(@workspaces::text[], @objects::text[], @revs::bigint[], @words::text[]) AS l (workspace);

-- name: Hurry :exec
SELECT stowage.hurry(@millis::int);

-- name: ForgetWords :exec
SELECT stowage.forget_words(@millis::int);

-- name: Find :many
SELECT f.object::text AS object, f.rev::bigint AS rev, f.version::text AS version, f.path::text AS path,
	f.content_type::text AS content_type, f.size::bigint AS size, f.updated_at::timestamptz AS updated_at,
	f.tags::text AS tags, f.rank::real AS rank, coalesce(f.body_marked, '')::text AS body_marked
FROM stowage.find_objects(@workspace::text, @wanted::text[], @unwanted::text[], sqlc.narg('folder')::text, sqlc.narg('content_type')::text, sqlc.narg('tags')::text::jsonb,
	sqlc.narg('min_size')::bigint, sqlc.narg('max_size')::bigint, sqlc.narg('after')::timestamptz, sqlc.narg('before')::timestamptz,
	sqlc.narg('from_rank')::real, sqlc.narg('from_object')::text, @candidates::int, @page::int, sqlc.narg('tag_words')::text) AS f;

-- name: Nearest :many
SELECT n.word::text AS word, n.meant::text AS meant FROM stowage.nearest(@workspace::text, @words::text[]) AS n;
