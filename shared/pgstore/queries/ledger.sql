-- name: Enter :one
SELECT stowage.enter(@workspaces::text[]);

-- name: AddHoldings :exec
INSERT INTO stowage.holdings (workspace, object)
SELECT DISTINCT o.workspace, o.object
FROM (SELECT unnest(@workspaces::text[]) AS workspace, unnest(@objects::text[]) AS object) AS o
ORDER BY 1, 2
ON CONFLICT DO NOTHING;

-- name: LockHoldings :exec
SELECT FROM stowage.holdings h
WHERE (h.workspace, h.object) IN (SELECT unnest(@workspaces::text[]), unnest(@objects::text[]))
ORDER BY h.workspace, h.object
FOR UPDATE;

-- name: Neighbours :many
SELECT DISTINCT f.workspace, f.object, f.rev, f.at, f.class, f.bytes
FROM (SELECT unnest(@workspaces::text[]) AS workspace, unnest(@objects::text[]) AS object, unnest(@revs::bigint[]) AS rev) AS e
CROSS JOIN LATERAL (
	(SELECT * FROM stowage.facts p WHERE p.workspace = e.workspace AND p.object = e.object AND p.rev <= e.rev
	ORDER BY p.rev DESC LIMIT 2)
	UNION ALL
	(SELECT * FROM stowage.facts n WHERE n.workspace = e.workspace AND n.object = e.object AND n.rev > e.rev
	ORDER BY n.rev LIMIT 1)
) AS f;

-- name: AddFacts :exec
INSERT INTO stowage.facts (workspace, object, rev, at, class, bytes)
SELECT unnest(@workspaces::text[]), unnest(@objects::text[]), unnest(@revs::bigint[]), unnest(@ats::timestamptz[]), unnest(@classes::text[]), unnest(@bytes::bigint[]);

-- name: RaiseHoldings :exec
UPDATE stowage.holdings h
SET rev = f.rev, at = f.at, class = f.class, bytes = f.bytes
FROM (SELECT unnest(@workspaces::text[]) AS workspace, unnest(@objects::text[]) AS object, unnest(@revs::bigint[]) AS rev, unnest(@ats::timestamptz[]) AS at, unnest(@classes::text[]) AS class, unnest(@bytes::bigint[]) AS bytes) AS f
WHERE h.workspace = f.workspace AND h.object = f.object AND h.rev < f.rev;

-- name: AddEntries :exec
INSERT INTO stowage.entries (workspace, journal, account, class, object, at, bytes)
SELECT unnest(@workspaces::text[]), unnest(@journals::text[]), unnest(@accounts::text[]), unnest(@classes::text[]), unnest(@objects::text[]), unnest(@ats::timestamptz[]), unnest(@bytes::bigint[]);

-- name: AddToQuarters :exec
INSERT INTO stowage.quarters AS q (workspace, class, basis, quarter, bytes, moment)
SELECT m.workspace, m.class, m.basis, m.quarter, sum(m.bytes), sum(m.bytes::numeric * m.millis)
FROM (SELECT unnest(@workspaces::text[]) AS workspace, unnest(@classes::text[]) AS class, unnest(@bases::text[]) AS basis, unnest(@quarters::bigint[]) AS quarter, unnest(@bytes::bigint[]) AS bytes, unnest(@millis::bigint[]) AS millis) AS m
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2, 3, 4
ON CONFLICT (workspace, class, basis, quarter)
DO UPDATE SET bytes = q.bytes + excluded.bytes, moment = q.moment + excluded.moment;

-- name: ListEntries :many
SELECT id, workspace, journal, account, class, object, at, bytes, booked_at
FROM stowage.entries
WHERE workspace = @workspace
	AND id < @before::bigint
	AND (sqlc.narg('account')::text IS NULL OR account = sqlc.narg('account'))
	AND (sqlc.narg('class')::text IS NULL OR class = sqlc.narg('class'))
	AND (sqlc.narg('after')::timestamptz IS NULL OR at >= sqlc.narg('after'))
	AND (sqlc.narg('until')::timestamptz IS NULL OR at < sqlc.narg('until'))
ORDER BY id DESC
LIMIT @page;

-- name: ListEntriesOfObject :many
SELECT id, workspace, journal, account, class, object, at, bytes, booked_at
FROM stowage.entries
WHERE workspace = @workspace AND object = @object::text AND object <> ''
	AND id < @before::bigint
	AND (sqlc.narg('account')::text IS NULL OR account = sqlc.narg('account'))
	AND (sqlc.narg('class')::text IS NULL OR class = sqlc.narg('class'))
	AND (sqlc.narg('after')::timestamptz IS NULL OR at >= sqlc.narg('after'))
	AND (sqlc.narg('until')::timestamptz IS NULL OR at < sqlc.narg('until'))
ORDER BY id DESC
LIMIT @page;

-- name: SumQuarters :many
SELECT s.span::bigint AS span, q.class, q.basis,
	coalesce(sum(q.bytes) FILTER (WHERE q.quarter < s.from_quarter), 0)::text AS opening,
	coalesce(sum(q.bytes) FILTER (WHERE q.quarter >= s.from_quarter), 0)::text AS within,
	coalesce(sum(q.bytes * ((q.quarter - s.from_quarter) * 900000) + q.moment) FILTER (WHERE q.quarter >= s.from_quarter), 0)::text AS moment
FROM (SELECT unnest(@spans::bigint[]) AS span, unnest(@from_quarters::bigint[]) AS from_quarter, unnest(@to_quarters::bigint[]) AS to_quarter) AS s
JOIN stowage.quarters q ON q.workspace = @workspace AND q.quarter < s.to_quarter
GROUP BY s.span, s.from_quarter, q.class, q.basis;

-- name: ListPrices :many
SELECT class, valid_from, currency, picos_per_gib_hour FROM stowage.prices ORDER BY class, valid_from;

-- name: AdjustmentOfKey :one
SELECT workspace, id, class, bytes, from_at, until_at, reason, booked_by, booked_at, request
FROM stowage.adjustments
WHERE workspace = @workspace AND booked_by = @booked_by AND key = @key;

-- name: AddAdjustment :exec
INSERT INTO stowage.adjustments (workspace, id, class, bytes, from_at, until_at, reason, booked_by, booked_at, key, request)
VALUES (@workspace, @id, @class, @bytes, @from_at, sqlc.narg('until_at'), @reason, @booked_by, @booked_at, @key, @request);

-- name: LowestBalance :one
SELECT least(min(b.balance), CASE WHEN EXISTS (
	SELECT FROM stowage.quarters e
	WHERE e.workspace = @workspace AND e.class = @class AND e.quarter <= @from_quarter::bigint
) THEN NULL ELSE 0 END)::text AS lowest
FROM (
	SELECT q.quarter, sum(sum(q.bytes)) OVER (ORDER BY q.quarter) AS balance
	FROM stowage.quarters q
	WHERE q.workspace = @workspace AND q.class = @class AND q.quarter < @to_quarter::bigint
	GROUP BY q.quarter
) AS b
WHERE b.quarter >= coalesce((
	SELECT max(e.quarter) FROM stowage.quarters e
	WHERE e.workspace = @workspace AND e.class = @class AND e.quarter <= @from_quarter::bigint
), @from_quarter::bigint);

-- name: CursorKeys :many
SELECT secret FROM stowage.cursor_keys ORDER BY id DESC LIMIT 2;

-- name: AddCursorKey :execrows
INSERT INTO stowage.cursor_keys (secret)
SELECT @secret::bytea
WHERE NOT EXISTS (SELECT FROM stowage.cursor_keys WHERE created_at > now() - make_interval(days => @most_days::int));

-- name: DropOldCursorKeys :exec
DELETE FROM stowage.cursor_keys WHERE id NOT IN (SELECT id FROM stowage.cursor_keys ORDER BY id DESC LIMIT 2);
