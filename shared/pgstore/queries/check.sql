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

-- name: QuarterMismatches :many
SELECT DISTINCT ON (d.workspace, d.class, d.basis) d.workspace, d.class, d.basis, d.quarter, d.entry_bytes, d.entry_moment, d.bytes, d.moment,
	(count(*) OVER (PARTITION BY d.workspace, d.class, d.basis))::bigint AS quarters
FROM (
	SELECT coalesce(e.workspace, q.workspace)::text AS workspace, coalesce(e.class, q.class)::text AS class,
		coalesce(e.basis, q.basis)::text AS basis, coalesce(e.quarter, q.quarter)::bigint AS quarter,
		coalesce(e.bytes, 0)::text AS entry_bytes, coalesce(e.moment, 0)::text AS entry_moment,
		coalesce(q.bytes, 0)::text AS bytes, coalesce(q.moment, 0)::text AS moment
	FROM (
		SELECT m.workspace, m.class, m.basis, m.quarter, sum(m.bytes) AS bytes, sum(m.bytes::numeric * (m.millis - m.quarter * 900000)) AS moment
		FROM (
			SELECT x.workspace, x.class, CASE x.account WHEN 'stored' THEN 'measured' ELSE 'adjusted' END AS basis, x.bytes,
				floor(extract(epoch FROM x.at) * 1000)::bigint AS millis, floor(extract(epoch FROM x.at) / 900)::bigint AS quarter
			FROM stowage.entries x
			WHERE x.account IN ('stored', 'adjusted')
		) AS m
		GROUP BY 1, 2, 3, 4
	) AS e
	FULL JOIN stowage.quarters q ON q.workspace = e.workspace AND q.class = e.class AND q.basis = e.basis AND q.quarter = e.quarter
	WHERE coalesce(e.bytes, 0) <> coalesce(q.bytes, 0) OR coalesce(e.moment, 0) <> coalesce(q.moment, 0)
) AS d
ORDER BY d.workspace, d.class, d.basis, d.quarter
LIMIT 100;

-- name: HoldingMismatches :many
SELECT coalesce(e.workspace, h.workspace)::text AS workspace, coalesce(e.class, h.class)::text AS class,
	coalesce(e.bytes, 0)::text AS entries, coalesce(h.bytes, 0)::text AS holdings
FROM (SELECT x.workspace, x.class, sum(x.bytes) AS bytes FROM stowage.entries x WHERE x.account = 'stored' GROUP BY 1, 2) e
FULL JOIN (SELECT y.workspace, y.class, sum(y.bytes) AS bytes FROM stowage.holdings y WHERE y.bytes > 0 GROUP BY 1, 2) h
	ON h.workspace = e.workspace AND h.class = e.class
WHERE coalesce(e.bytes, 0) <> coalesce(h.bytes, 0)
LIMIT 100;
