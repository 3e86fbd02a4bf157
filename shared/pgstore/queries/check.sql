-- name: Imbalances :many
SELECT workspace, class, sum(bytes)::text AS off
FROM stowage.entries
GROUP BY workspace, class
HAVING sum(bytes) <> 0
ORDER BY workspace, class
LIMIT 100;

-- name: HoldingsOf :many
SELECT workspace, object, rev, at, class, bytes
FROM stowage.holdings
WHERE (workspace, object) IN (SELECT unnest(@workspaces::text[]), unnest(@objects::text[]));

-- name: HoldingTotals :many
SELECT workspace, count(*) FILTER (WHERE rev > 0)::bigint AS objects, coalesce(sum(bytes), 0)::text AS bytes
FROM stowage.holdings
GROUP BY workspace
ORDER BY workspace;

-- name: HoldingsAfter :many
SELECT workspace, object, rev, at, class, bytes
FROM stowage.holdings
WHERE workspace = @workspace AND object > @after AND bytes > 0
ORDER BY object
LIMIT @page;

-- name: StoredTotals :many
SELECT coalesce(e.workspace, q.workspace)::text AS workspace, coalesce(e.class, q.class)::text AS class,
	coalesce(e.bytes, 0)::text AS entries, coalesce(q.bytes, 0)::text AS quarters
FROM (SELECT x.workspace, x.class, sum(x.bytes) AS bytes FROM stowage.entries x WHERE x.account IN ('stored', 'adjusted') GROUP BY 1, 2) e
FULL JOIN (SELECT y.workspace, y.class, sum(y.bytes) AS bytes FROM stowage.quarters y GROUP BY 1, 2) q
	ON q.workspace = e.workspace AND q.class = e.class
WHERE coalesce(e.bytes, 0) <> coalesce(q.bytes, 0)
LIMIT 100;

-- name: HoldingMismatches :many
SELECT coalesce(e.workspace, h.workspace)::text AS workspace, coalesce(e.class, h.class)::text AS class,
	coalesce(e.bytes, 0)::text AS entries, coalesce(h.bytes, 0)::text AS holdings
FROM (SELECT x.workspace, x.class, sum(x.bytes) AS bytes FROM stowage.entries x WHERE x.account = 'stored' GROUP BY 1, 2) e
FULL JOIN (SELECT y.workspace, y.class, sum(y.bytes) AS bytes FROM stowage.holdings y WHERE y.bytes > 0 GROUP BY 1, 2) h
	ON h.workspace = e.workspace AND h.class = e.class
WHERE coalesce(e.bytes, 0) <> coalesce(h.bytes, 0)
LIMIT 100;
