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
WHERE workspace = @workspace AND id < @before::bigint
ORDER BY id DESC
LIMIT @page;

-- name: FilterEntries :many
SELECT f.id, f.workspace, f.journal, f.account, f.class, f.object, f.at, f.bytes, f.booked_at, f.matches,
	(f.place = @walk::int)::boolean AS cut
FROM (
	SELECT w.id, w.workspace, w.journal, w.account, w.class, w.object, w.at, w.bytes, w.booked_at, w.place,
		((sqlc.narg('account')::text IS NULL OR w.account = sqlc.narg('account'))
			AND (sqlc.narg('after')::timestamptz IS NULL OR w.at >= sqlc.narg('after'))
			AND (sqlc.narg('until')::timestamptz IS NULL OR w.at < sqlc.narg('until')))::boolean AS matches
	FROM (
		SELECT e.id, e.workspace, e.journal, e.account, e.class, e.object, e.at, e.bytes, e.booked_at,
			row_number() OVER (ORDER BY e.id DESC) AS place
		FROM stowage.entries e
		WHERE e.workspace = @workspace AND e.id < @before::bigint
			AND (sqlc.narg('class')::text IS NULL OR e.class = sqlc.narg('class'))
			AND (NOT @adjustments::boolean OR e.account IN ('adjusted', 'allowance'))
		ORDER BY e.id DESC
		LIMIT @walk::int
	) AS w
) AS f
WHERE f.matches OR f.place = @walk::int
ORDER BY f.id DESC
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

-- name: BalanceBounds :one
SELECT least(min(b.balance), s.none)::text AS lowest, greatest(max(b.balance), s.none)::text AS highest
FROM (
	SELECT max(e.quarter) AS quarter, CASE WHEN count(*) = 0 THEN 0 END AS none
	FROM stowage.quarters e
	WHERE e.workspace = @workspace AND e.class = @class AND e.quarter <= @from_quarter::bigint
) AS s
LEFT JOIN (
	SELECT q.quarter, sum(sum(q.bytes)) OVER (ORDER BY q.quarter) AS balance
	FROM stowage.quarters q
	WHERE q.workspace = @workspace AND q.class = @class
		AND (sqlc.narg('to_quarter')::bigint IS NULL OR q.quarter < sqlc.narg('to_quarter'))
	GROUP BY q.quarter
) AS b ON b.quarter >= coalesce(s.quarter, @from_quarter::bigint)
GROUP BY s.none;

-- name: CursorKeys :many
SELECT secret FROM stowage.cursor_keys ORDER BY id DESC LIMIT 2;

-- name: AddCursorKey :execrows
INSERT INTO stowage.cursor_keys (secret)
SELECT @secret::bytea
WHERE NOT EXISTS (SELECT FROM stowage.cursor_keys WHERE created_at > now() - make_interval(days => @most_days::int));

-- name: DropOldCursorKeys :exec
DELETE FROM stowage.cursor_keys WHERE id NOT IN (SELECT id FROM stowage.cursor_keys ORDER BY id DESC LIMIT 2);
