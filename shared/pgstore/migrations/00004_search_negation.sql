-- Negated words exclude whichever way they are stemmed, and words that no document has any
-- more are forgotten.

-- +goose Up

-- The query of a text, in either configuration: as names are indexed, or as texts are. For
-- most words the two are one.
-- +goose StatementBegin
CREATE FUNCTION stowage.either(in_text text) RETURNS tsquery
	LANGUAGE plpgsql IMMUTABLE
	SET search_path = pg_catalog, pg_temp
	AS $$
DECLARE
	simple  tsquery := websearch_to_tsquery('simple', in_text);
	english tsquery := websearch_to_tsquery('english', in_text);
BEGIN
	RETURN CASE WHEN simple = english THEN simple ELSE simple || english END;
END
$$;
-- +goose StatementEnd

-- find_objects is find for alternatives: what one wants, and what must not be there. A
-- negation may stand in neither configuration, so it is made of both before it is negated.
--
-- The candidates have no order but that of the table: all pages must meet the same ones. A
-- scan that begins where another one is, or that several processes share, meets others.
-- +goose StatementBegin
CREATE FUNCTION stowage.find_objects(
	in_workspace text, in_wanted text[], in_unwanted text[], in_folder text, in_type text, in_tags jsonb,
	in_min_size bigint, in_max_size bigint, in_after timestamptz, in_before timestamptz,
	from_rank real, from_object text, candidates int, page int, in_tag_words text
) RETURNS TABLE (
	object text, rev bigint, version text, path text, content_type text, size bigint,
	updated_at timestamptz, tags jsonb, rank real, body_marked text
)
	LANGUAGE plpgsql STABLE SECURITY DEFINER
	SET search_path = stowage, public, pg_temp
	SET plan_cache_mode = force_custom_plan
	SET synchronize_seqscans = off
	SET max_parallel_workers_per_gather = 0
	AS $$
#variable_conflict use_column
DECLARE
	one    tsquery;
	sought tsquery := '';  -- what is wanted, by which hits are ranked and marked
	narrow tsquery := '';
	marks  text := 'StartSel="' || chr(57344) || '", StopSel="' || chr(57345) || '"';
BEGIN
	IF NOT coalesce(in_workspace = ANY (entered()), false) THEN
		RETURN;
	END IF;
	FOR i IN 1 .. cardinality(in_wanted) LOOP
		one := either(in_wanted[i]);
		-- Without a word that PostgreSQL knows as one it finds nothing, and not all else.
		CONTINUE WHEN in_wanted[i] <> '' AND numnode(one) = 0;
		sought := sought || one;
		IF in_unwanted[i] <> '' THEN
			one := one && !!either(in_unwanted[i]);
		END IF;
		narrow := narrow || one;
	END LOOP;
	IF numnode(narrow) = 0 THEN
		RETURN;
	END IF;
	-- The words of the tags that are asked for narrow what the index finds.
	IF in_tag_words IS NOT NULL THEN
		narrow := narrow && plainto_tsquery('simple', in_tag_words);
	END IF;
	RETURN QUERY
	WITH matching AS MATERIALIZED (
		SELECT d.object, ts_rank_cd(d.terms, sought, 32) AS rank
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
			ts_headline('english', left(d.body, 16384), sought, marks || ', MaxFragments=2, MaxWords=24, MinWords=8, FragmentDelimiter=" … "') END
	FROM best b JOIN documents d ON d.workspace = in_workspace AND d.object = b.object
	ORDER BY b.rank DESC, b.object;
END
$$;
-- +goose StatementEnd

-- Words that some document has lost, and that perhaps no other one has: forget_words looks
-- them up. Before this version nothing was ever forgotten: all that is known is looked up
-- once.
CREATE TABLE stowage.loose_words (
	workspace text NOT NULL CHECK (workspace <> ''),
	word      text NOT NULL
);
CREATE INDEX loose_words_of_workspace ON stowage.loose_words (workspace, word);
ALTER TABLE stowage.loose_words ENABLE ROW LEVEL SECURITY; -- without a policy: it is for the functions below
INSERT INTO stowage.loose_words (workspace, word) SELECT workspace, word FROM stowage.words;

-- A trigger sees what a document had, whoever changes it, the version before included.
-- +goose StatementBegin
CREATE FUNCTION stowage.loosen_words() RETURNS trigger
	LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = stowage, public, pg_temp
	AS $$
BEGIN
	INSERT INTO loose_words (workspace, word)
	SELECT w.workspace, w.word FROM words w
	WHERE w.workspace = OLD.workspace AND w.word IN (
		SELECT unnest(string_to_array(OLD.name_words || ' ' || OLD.tag_words, ' '))
		EXCEPT
		SELECT unnest(string_to_array(NEW.name_words || ' ' || NEW.tag_words, ' ')) WHERE NEW.state = 'available'
	);
	RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER documents_loosen_words AFTER UPDATE ON stowage.documents FOR EACH ROW
	WHEN (OLD.state = 'available' AND (NEW.state <> 'available' OR OLD.name_words <> NEW.name_words OR OLD.tag_words <> NEW.tag_words))
	EXECUTE FUNCTION stowage.loosen_words();

-- has_word reports whether the name (A) or a tag (B) of an available document has a word of
-- letters alone. Of a word that many have in their texts alone it says so, too: not all of
-- them are read. A plan that reads documents until it meets one that matches is out of the
-- question: where it is preferred, there were many, and they may just have been purged.
-- +goose StatementBegin
CREATE FUNCTION stowage.has_word(in_workspace text, in_word text) RETURNS boolean
	LANGUAGE plpgsql STABLE
	SET search_path = stowage, public, pg_temp
	SET plan_cache_mode = force_custom_plan
	SET enable_seqscan = off
	SET enable_indexscan = off
	AS $$
BEGIN
	RETURN (SELECT coalesce(bool_or(m.terms @@ to_tsquery('simple', in_word || ':AB')) OR count(*) = 100, false) FROM (
		SELECT d.terms FROM documents d
		WHERE d.workspace = in_workspace AND d.state = 'available' AND d.terms @@ to_tsquery('simple', in_word)
		LIMIT 100
	) m);
END
$$;
-- +goose StatementEnd

-- Whoever forgets must see the documents of whoever adds, and the other way round. Within
-- a workspace adding therefore shares a lock, and forgetting has it alone, until both have
-- committed; what comes after the lock sees what was committed before it.

-- add_words adds the words that the given revs have, where these are still the latest, and
-- returns those of the entered workspaces that have words to be looked up.
-- +goose StatementBegin
CREATE FUNCTION stowage.add_words(in_workspaces text[], in_objects text[], in_revs bigint[], in_words text[]) RETURNS SETOF text
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = stowage, public, pg_temp
	SET plan_cache_mode = force_custom_plan
	AS $$
BEGIN
	PERFORM pg_advisory_xact_lock_shared(hashtextextended('stowage.words ' || e, 0))
	FROM (SELECT DISTINCT unnest(entered()) AS e ORDER BY 1) o;
	INSERT INTO words (workspace, word)
	SELECT DISTINCT a.workspace, a.word
	FROM unnest(in_workspaces, in_objects, in_revs, in_words) AS a (workspace, object, rev, word)
	JOIN documents d ON d.workspace = a.workspace AND d.object = a.object AND d.rev = a.rev AND d.state = 'available'
	WHERE a.workspace = ANY (entered())
	ORDER BY 1, 2
	ON CONFLICT DO NOTHING;
	RETURN QUERY SELECT DISTINCT e FROM unnest(entered()) e WHERE EXISTS (SELECT FROM loose_words l WHERE l.workspace = e);
END
$$;
-- +goose StatementEnd

-- hurry bounds each further statement of the transaction. Like enter it sets nothing that
-- outlives it.
CREATE FUNCTION stowage.hurry(millis int) RETURNS boolean
	LANGUAGE sql VOLATILE
	AS $$ SELECT set_config('statement_timeout', millis::text, true) IS NOT NULL $$;

-- forget_words looks up loose words of the entered workspaces, for so long, and forgets those
-- that no document has. It waits for nobody: a workspace to which words are being added is
-- left for another time. Workspaces come in any order, so that each of them gets its turn.
-- +goose StatementBegin
CREATE FUNCTION stowage.forget_words(millis int) RETURNS void
	LANGUAGE plpgsql VOLATILE SECURITY DEFINER
	SET search_path = stowage, public, pg_temp
	SET plan_cache_mode = force_custom_plan
	AS $$
#variable_conflict use_variable
DECLARE
	until  timestamptz := clock_timestamp() + make_interval(secs => millis / 1000.0);
	ws     text;
	loose  text;
	rows   tid[];
	newest text[];
	known  boolean;
BEGIN
	FOR ws IN SELECT e FROM unnest(entered()) e ORDER BY random() LOOP
		EXIT WHEN clock_timestamp() > until;
		CONTINUE WHEN NOT pg_try_advisory_xact_lock(hashtextextended('stowage.words ' || ws, 0));
		-- What many documents have the newest ones have; only for the rest is the index asked.
		newest := ARRAY(SELECT DISTINCT unnest(string_to_array(n.name_words || ' ' || n.tag_words, ' '))
			FROM (SELECT d.state, d.name_words, d.tag_words FROM documents d WHERE d.workspace = ws ORDER BY d.object DESC LIMIT 200) n
			WHERE n.state = 'available');
		-- Many documents may have lost the same word. No step depends on how many did.
		FOR loose, rows IN SELECT l.word, array_agg(l.ctid)
			FROM (SELECT word, ctid FROM loose_words WHERE workspace = ws LIMIT 10000) l GROUP BY l.word LOOP
			DELETE FROM loose_words l WHERE l.ctid = ANY (rows);
			BEGIN
				known := loose = ANY (newest) OR has_word(ws, loose);
			EXCEPTION WHEN query_canceled THEN
				known := true; -- by hurry. Kept in vain it does little harm, and would never be looked up in time.
			END;
			IF NOT known THEN
				DELETE FROM words w WHERE w.workspace = ws AND w.word = loose;
			END IF;
			EXIT WHEN clock_timestamp() > until;
		END LOOP;
	END LOOP;
END
$$;
-- +goose StatementEnd

-- The check compares what objects hold; nothing of it reads what is found.
REVOKE SELECT ON stowage.documents FROM ledger_check;

REVOKE ALL ON FUNCTION stowage.either, stowage.find_objects, stowage.loosen_words, stowage.has_word,
	stowage.add_words, stowage.hurry, stowage.forget_words FROM PUBLIC;
GRANT EXECUTE ON FUNCTION stowage.find_objects TO ledger_api;
GRANT EXECUTE ON FUNCTION stowage.add_words, stowage.hurry, stowage.forget_words TO ledger_writer;
