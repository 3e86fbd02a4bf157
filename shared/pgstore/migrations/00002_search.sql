-- Full-text search over names, tags, metadata and the text of small text files.

-- +goose Up

CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;
CREATE EXTENSION IF NOT EXISTS btree_gin WITH SCHEMA public;

-- One row for each object that was ever heard of, by the latest rev.
CREATE TABLE stowage.documents (
	workspace    text        NOT NULL CHECK (workspace <> ''),
	object       text        NOT NULL,
	rev          bigint      NOT NULL CHECK (rev > 0),
	version      text        NOT NULL,
	state        text        NOT NULL,
	path         text        NOT NULL,
	parent       text        NOT NULL,
	content_type text        NOT NULL,
	size         bigint      NOT NULL,
	updated_at   timestamptz NOT NULL,
	tags         jsonb       NOT NULL,
	-- The words of the path, the tags and the metadata, split by package search.
	name_words   text        NOT NULL,
	tag_words    text        NOT NULL,
	meta_words   text        NOT NULL,
	-- The beginning of the version's text, of a small text file.
	body         text,
	terms tsvector NOT NULL GENERATED ALWAYS AS (
		setweight(to_tsvector('simple', name_words), 'A') ||
		setweight(to_tsvector('simple', tag_words), 'B') ||
		setweight(to_tsvector('simple', meta_words), 'C') ||
		setweight(to_tsvector('english', coalesce(body, '')), 'D')
	) STORED,
	PRIMARY KEY (workspace, object)
);
-- Not (workspace, terms): a large workspace's part of it would be read with every search.
-- For a small one the planner takes the primary key instead.
CREATE INDEX documents_terms ON stowage.documents USING gin (terms) WHERE state = 'available';

-- The words of names and tags, to find what a misspelt one was meant to be.
CREATE TABLE stowage.words (
	workspace text NOT NULL CHECK (workspace <> ''),
	word      text NOT NULL,
	PRIMARY KEY (workspace, word)
);
CREATE INDEX words_trigrams ON stowage.words USING gin (workspace, word public.gin_trgm_ops);

GRANT SELECT, INSERT, UPDATE ON stowage.documents TO ledger_writer;
GRANT SELECT, INSERT ON stowage.words TO ledger_writer;
GRANT SELECT ON stowage.documents, stowage.words TO ledger_api;
GRANT SELECT (workspace, object, rev, state) ON stowage.documents TO ledger_check;

ALTER TABLE stowage.documents ENABLE ROW LEVEL SECURITY;
ALTER TABLE stowage.words ENABLE ROW LEVEL SECURITY;
CREATE POLICY entered ON stowage.documents TO ledger_writer, ledger_api
	USING (workspace = ANY ((SELECT stowage.entered())::text[]))
	WITH CHECK (workspace = ANY ((SELECT stowage.entered())::text[]));
CREATE POLICY entered ON stowage.words TO ledger_writer, ledger_api
	USING (workspace = ANY ((SELECT stowage.entered())::text[]))
	WITH CHECK (workspace = ANY ((SELECT stowage.entered())::text[]));
CREATE POLICY checked ON stowage.documents FOR SELECT TO ledger_check USING (true);

-- Below row-level security no index serves @@ or %, because their operators are not
-- leakproof, and nobody on Aurora may declare them so. These two functions therefore run
-- as the tables' owner, whom it does not bind, and check the workspace themselves.

-- find returns the objects that match, best first: ranked are the first "candidates" that
-- the index finds, so that a word that half of all names have costs no more than a rare one.
-- +goose StatementBegin
CREATE FUNCTION stowage.find(
	in_workspace text, in_query text, in_folder text, in_type text, in_tags jsonb,
	in_min_size bigint, in_max_size bigint, in_after timestamptz, in_before timestamptz,
	from_rank real, from_object text, candidates int, page int, in_tag_words text
) RETURNS TABLE (
	object text, rev bigint, version text, path text, content_type text, size bigint,
	updated_at timestamptz, tags jsonb, rank real, body_marked text
)
	LANGUAGE plpgsql STABLE SECURITY DEFINER
	SET search_path = stowage, public, pg_temp
	SET plan_cache_mode = force_custom_plan
	AS $$
#variable_conflict use_column
DECLARE
	wanted tsquery := websearch_to_tsquery('simple', in_query) || websearch_to_tsquery('english', in_query);
	-- The words of the tags that are asked for narrow what the index finds.
	narrow tsquery := CASE WHEN in_tag_words IS NULL THEN wanted ELSE wanted && plainto_tsquery('simple', in_tag_words) END;
	marks  text := 'StartSel="' || chr(57344) || '", StopSel="' || chr(57345) || '"';
BEGIN
	IF NOT coalesce(in_workspace = ANY (entered()), false) THEN
		RETURN;
	END IF;
	RETURN QUERY
	WITH matching AS MATERIALIZED (
		SELECT d.object, ts_rank_cd(d.terms, wanted, 32) AS rank
		FROM (
			SELECT m.object, m.terms FROM documents m
			WHERE m.workspace = in_workspace AND m.state = 'available' AND m.terms @@ narrow
				AND (in_folder IS NULL OR m.parent = in_folder OR starts_with(m.parent, in_folder || '/'))
				AND (in_type IS NULL OR m.content_type = in_type
					OR right(in_type, 2) = '/*' AND starts_with(m.content_type, left(in_type, -1)))
				AND (in_tags IS NULL OR m.tags @> in_tags)
				AND (in_min_size IS NULL OR m.size >= in_min_size) AND (in_max_size IS NULL OR m.size <= in_max_size)
				AND (in_after IS NULL OR m.updated_at >= in_after) AND (in_before IS NULL OR m.updated_at < in_before)
			LIMIT candidates
		) d
	), best AS (
		SELECT m.object, m.rank FROM matching m
		WHERE from_rank IS NULL OR m.rank < from_rank OR m.rank = from_rank AND m.object > from_object
		ORDER BY m.rank DESC, m.object LIMIT page
	)
	SELECT d.object, d.rev, d.version, d.path, d.content_type, d.size, d.updated_at, d.tags, b.rank,
		CASE WHEN d.body IS NULL THEN NULL ELSE
			ts_headline('english', left(d.body, 16384), wanted, marks || ', MaxFragments=2, MaxWords=24, MinWords=8, FragmentDelimiter=" … "') END
	FROM best b JOIN documents d ON d.workspace = in_workspace AND d.object = b.object
	ORDER BY b.rank DESC, b.object;
END
$$;
-- +goose StatementEnd

-- nearest returns, for each word that no name and no tag has, the most similar one.
-- +goose StatementBegin
CREATE FUNCTION stowage.nearest(in_workspace text, in_words text[]) RETURNS TABLE (word text, meant text)
	LANGUAGE plpgsql STABLE SECURITY DEFINER
	SET search_path = stowage, public, pg_temp
	SET plan_cache_mode = force_custom_plan
	SET pg_trgm.similarity_threshold = 0.25 -- two letters that changed places in a word of six
	AS $$
#variable_conflict use_column
DECLARE
	asked text;
BEGIN
	IF NOT coalesce(in_workspace = ANY (entered()), false) THEN
		RETURN;
	END IF;
	FOREACH asked IN ARRAY in_words LOOP
		IF NOT EXISTS (SELECT FROM words w WHERE w.workspace = in_workspace AND w.word = asked) THEN
			RETURN QUERY
			SELECT asked, w.word FROM words w
			WHERE w.workspace = in_workspace AND w.word % asked
			ORDER BY similarity(w.word, asked) DESC, w.word LIMIT 1;
		END IF;
	END LOOP;
END
$$;
-- +goose StatementEnd

REVOKE ALL ON FUNCTION stowage.find, stowage.nearest FROM PUBLIC;
GRANT EXECUTE ON FUNCTION stowage.find, stowage.nearest TO ledger_api;
