-- The ledger: facts, entries, their sums, adjustments and prices; the roles that use
-- them; and the row-level security that keeps workspaces apart.

-- +goose Up

CREATE SCHEMA stowage;

-- Roles are of the whole cluster: another database may have made them, even now.
-- Nobody has a password; rds_iam lets them in with IAM tokens.
-- +goose StatementBegin
DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['ledger_writer', 'ledger_api', 'ledger_check'] LOOP
		BEGIN
			EXECUTE format('CREATE ROLE %I LOGIN NOINHERIT', name);
		EXCEPTION WHEN duplicate_object OR unique_violation THEN
			NULL;
		END;
		IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'rds_iam')
			AND NOT pg_has_role(name, 'rds_iam', 'MEMBER') THEN
			EXECUTE format('GRANT rds_iam TO %I', name);
		END IF;
	END LOOP;
END
$$;
-- +goose StatementEnd

-- Bounds of every statement and transaction. They belong to role and database, and not
-- to the session: a SET would pin the connection of a proxy.
-- +goose StatementBegin
DO $$
DECLARE
	bound record;
BEGIN
	FOR bound IN SELECT * FROM (VALUES
		('ledger_writer', 'statement_timeout', '15s'),
		('ledger_writer', 'lock_timeout', '10s'),
		('ledger_writer', 'idle_in_transaction_session_timeout', '15s'),
		('ledger_api', 'statement_timeout', '8s'),
		('ledger_api', 'lock_timeout', '4s'),
		('ledger_api', 'idle_in_transaction_session_timeout', '10s'),
		('ledger_check', 'statement_timeout', '10min'),
		('ledger_check', 'idle_in_transaction_session_timeout', '1min')
	) AS b (role, setting, value) LOOP
		EXECUTE format('ALTER ROLE %I IN DATABASE %I SET %I = %L', bound.role, current_database(), bound.setting, bound.value);
	END LOOP;
END
$$;
-- +goose StatementEnd

REVOKE ALL ON SCHEMA stowage FROM PUBLIC;
GRANT USAGE ON SCHEMA stowage TO ledger_writer, ledger_api, ledger_check;

-- enter says which workspaces the transaction is about. Before it, and after the
-- transaction, row-level security shows none. It sets nothing that outlives the
-- transaction, so it must not pin a connection; that is unproven on RDS Proxy, whose
-- documentation says only that it does not detect what stored functions set.
CREATE FUNCTION stowage.enter(workspaces text[]) RETURNS boolean
	LANGUAGE sql VOLATILE
	AS $$ SELECT set_config('stowage.workspaces', array_to_string(workspaces, ','), true) IS NOT NULL $$;

CREATE FUNCTION stowage.entered() RETURNS text[]
	LANGUAGE sql STABLE PARALLEL SAFE
	AS $$ SELECT string_to_array(current_setting('stowage.workspaces', true), ',') $$;

-- +goose StatementBegin
CREATE FUNCTION stowage.refuse_change() RETURNS trigger
	LANGUAGE plpgsql
	AS $$ BEGIN RAISE EXCEPTION '% is append-only: book a correction instead', TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END $$;
-- +goose StatementEnd

-- What events said: from "at" on, the object held so many bytes.
CREATE TABLE stowage.facts (
	workspace text        NOT NULL CHECK (workspace <> ''),
	object    text        NOT NULL,
	rev       bigint      NOT NULL CHECK (rev > 0),
	at        timestamptz NOT NULL,
	class     text        NOT NULL,
	bytes     bigint      NOT NULL CHECK (bytes >= 0),
	booked_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (workspace, object, rev)
);

-- What each object holds by its latest fact. Whoever books facts of an object locks its row.
CREATE TABLE stowage.holdings (
	workspace text        NOT NULL CHECK (workspace <> ''),
	object    text        NOT NULL,
	rev       bigint      NOT NULL DEFAULT 0,
	at        timestamptz NOT NULL DEFAULT 'epoch',
	class     text        NOT NULL DEFAULT '',
	bytes     bigint      NOT NULL DEFAULT 0,
	PRIMARY KEY (workspace, object)
) WITH (fillfactor = 80);

-- The ledger. Debits are positive, credits negative.
CREATE TABLE stowage.entries (
	id        bigint GENERATED ALWAYS AS IDENTITY,
	workspace text        NOT NULL CHECK (workspace <> ''),
	journal   text        NOT NULL,
	account   text        NOT NULL CHECK (account IN ('stored', 'supply', 'adjusted', 'allowance')),
	class     text        NOT NULL,
	object    text        NOT NULL DEFAULT '',
	at        timestamptz NOT NULL,
	bytes     bigint      NOT NULL CHECK (bytes <> 0),
	booked_at timestamptz NOT NULL DEFAULT now(),
	PRIMARY KEY (workspace, id)
);
CREATE INDEX entries_of_object ON stowage.entries (workspace, object, id) WHERE object <> '';

-- +goose StatementBegin
CREATE FUNCTION stowage.require_balance() RETURNS trigger
	LANGUAGE plpgsql
	AS $$
BEGIN
	IF EXISTS (SELECT FROM booked GROUP BY workspace, journal, class HAVING sum(bytes) <> 0) THEN
		RAISE EXCEPTION 'debits and credits of a journal differ' USING ERRCODE = 'check_violation', CONSTRAINT = 'entries_balance';
	END IF;
	RETURN NULL;
END
$$;
-- +goose StatementEnd
CREATE TRIGGER entries_balance AFTER INSERT ON stowage.entries
	REFERENCING NEW TABLE AS booked FOR EACH STATEMENT EXECUTE FUNCTION stowage.require_balance();

-- The entries of the accounts stored (measured) and adjusted, summed up by quarter of an
-- hour. moment is the sum of bytes times milliseconds since the quarter's beginning.
CREATE TABLE stowage.quarters (
	workspace text    NOT NULL CHECK (workspace <> ''),
	class     text    NOT NULL,
	basis     text    NOT NULL CHECK (basis IN ('measured', 'adjusted')),
	quarter   bigint  NOT NULL,
	bytes     numeric NOT NULL,
	moment    numeric NOT NULL,
	PRIMARY KEY (workspace, class, basis, quarter)
) WITH (fillfactor = 80);

CREATE TABLE stowage.adjustments (
	workspace text        NOT NULL CHECK (workspace <> ''),
	id        text        NOT NULL,
	class     text        NOT NULL,
	bytes     bigint      NOT NULL CHECK (bytes <> 0),
	from_at   timestamptz NOT NULL,
	until_at  timestamptz CHECK (until_at > from_at),
	reason    text        NOT NULL CHECK (reason <> ''),
	booked_by text        NOT NULL,
	booked_at timestamptz NOT NULL,
	key       text        NOT NULL,
	request   bytea       NOT NULL,
	PRIMARY KEY (workspace, id),
	UNIQUE (workspace, booked_by, key)
);

CREATE TRIGGER facts_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stowage.facts
	FOR EACH STATEMENT EXECUTE FUNCTION stowage.refuse_change();
CREATE TRIGGER entries_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stowage.entries
	FOR EACH STATEMENT EXECUTE FUNCTION stowage.refuse_change();
CREATE TRIGGER adjustments_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON stowage.adjustments
	FOR EACH STATEMENT EXECUTE FUNCTION stowage.refuse_change();

-- What holding a GiB for an hour costs, in 10^-12 of the currency's unit. The first prices
-- are those of S3's price list (us-east-1, first tier) at 730 hours a month.
CREATE TABLE stowage.prices (
	class              text        NOT NULL,
	valid_from         timestamptz NOT NULL CHECK (extract(epoch FROM valid_from)::bigint % 900 = 0),
	currency           text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
	picos_per_gib_hour bigint      NOT NULL CHECK (picos_per_gib_hour >= 0),
	PRIMARY KEY (class, valid_from)
);
INSERT INTO stowage.prices (class, valid_from, currency, picos_per_gib_hour) VALUES
	('STANDARD',            '2000-01-01Z', 'USD', 31506849),
	('INTELLIGENT_TIERING', '2000-01-01Z', 'USD', 31506849),
	('STANDARD_IA',         '2000-01-01Z', 'USD', 17123288),
	('ONEZONE_IA',          '2000-01-01Z', 'USD', 13698630),
	('GLACIER_IR',          '2000-01-01Z', 'USD',  5479452),
	('GLACIER',             '2000-01-01Z', 'USD',  4931507),
	('DEEP_ARCHIVE',        '2000-01-01Z', 'USD',  1356164);

-- The keys of the API's cursors; see package cursor.
CREATE TABLE stowage.cursor_keys (
	id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	secret     bytea       NOT NULL CHECK (length(secret) >= 32),
	created_at timestamptz NOT NULL DEFAULT now()
);

GRANT SELECT, INSERT ON stowage.facts, stowage.entries TO ledger_writer;
GRANT SELECT, INSERT, UPDATE ON stowage.holdings, stowage.quarters TO ledger_writer;
GRANT SELECT ON stowage.facts, stowage.entries, stowage.quarters, stowage.adjustments, stowage.prices, stowage.cursor_keys TO ledger_api;
GRANT INSERT ON stowage.entries, stowage.adjustments TO ledger_api;
GRANT INSERT, UPDATE ON stowage.quarters TO ledger_api;
GRANT SELECT ON stowage.facts, stowage.entries, stowage.holdings, stowage.quarters, stowage.adjustments TO ledger_check;

-- Workspaces are kept apart for everybody but the nightly check, which reads them all, and
-- the owner, who migrates. (The sub-select makes PostgreSQL ask once for a statement.)
-- +goose StatementBegin
DO $$
DECLARE
	name text;
BEGIN
	FOREACH name IN ARRAY ARRAY['facts', 'holdings', 'entries', 'quarters', 'adjustments'] LOOP
		EXECUTE format('ALTER TABLE stowage.%I ENABLE ROW LEVEL SECURITY', name);
		EXECUTE format('CREATE POLICY entered ON stowage.%I TO ledger_writer, ledger_api
			USING (workspace = ANY ((SELECT stowage.entered())::text[]))
			WITH CHECK (workspace = ANY ((SELECT stowage.entered())::text[]))', name);
		EXECUTE format('CREATE POLICY checked ON stowage.%I FOR SELECT TO ledger_check USING (true)', name);
	END LOOP;
END
$$;
-- +goose StatementEnd
