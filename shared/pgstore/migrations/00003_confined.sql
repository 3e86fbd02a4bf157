-- Each role writes what its function books and nothing else, and lists of entries are served
-- by indexes. Indexes are built beside the writers, which takes each statement out of a
-- transaction: all of them may run again after some have been done.

-- +goose NO TRANSACTION
-- +goose Up

-- The projector books what objects hold, the API adjustments. Restrictive policies come on
-- top of those that keep workspaces apart. Each block locks one table alone: who reads or
-- writes both, in whatever order, waits for it but never against it.
-- +goose StatementBegin
DO $$
BEGIN
	DROP POLICY IF EXISTS books_stored ON stowage.entries;
	DROP POLICY IF EXISTS books_adjusted ON stowage.entries;
	CREATE POLICY books_stored ON stowage.entries AS RESTRICTIVE FOR INSERT TO ledger_writer
		WITH CHECK (account IN ('stored', 'supply'));
	CREATE POLICY books_adjusted ON stowage.entries AS RESTRICTIVE FOR INSERT TO ledger_api
		WITH CHECK (account IN ('adjusted', 'allowance') AND object = '');
END
$$;
-- +goose StatementEnd

-- +goose StatementBegin
DO $$
BEGIN
	DROP POLICY IF EXISTS adds_measured ON stowage.quarters;
	DROP POLICY IF EXISTS adds_adjusted ON stowage.quarters;
	DROP POLICY IF EXISTS raises_measured ON stowage.quarters;
	DROP POLICY IF EXISTS raises_adjusted ON stowage.quarters;
	CREATE POLICY adds_measured ON stowage.quarters AS RESTRICTIVE FOR INSERT TO ledger_writer
		WITH CHECK (basis = 'measured');
	CREATE POLICY adds_adjusted ON stowage.quarters AS RESTRICTIVE FOR INSERT TO ledger_api
		WITH CHECK (basis = 'adjusted');
	CREATE POLICY raises_measured ON stowage.quarters AS RESTRICTIVE FOR UPDATE TO ledger_writer
		USING (basis = 'measured') WITH CHECK (basis = 'measured');
	CREATE POLICY raises_adjusted ON stowage.quarters AS RESTRICTIVE FOR UPDATE TO ledger_api
		USING (basis = 'adjusted') WITH CHECK (basis = 'adjusted');

	-- What has been summed up stays in its class and its quarter of an hour.
	REVOKE UPDATE ON stowage.quarters FROM ledger_writer, ledger_api;
	GRANT UPDATE (bytes, moment) ON stowage.quarters TO ledger_writer, ledger_api;
END
$$;
-- +goose StatementEnd

-- An index that somebody has built beforehand stays. One whose building was interrupted is
-- there, but invalid, unless somebody builds it at the moment: they have the table's lock.
-- +goose StatementBegin
DO $$
DECLARE
	built text;
BEGIN
	LOCK TABLE stowage.entries IN SHARE UPDATE EXCLUSIVE MODE;
	FOREACH built IN ARRAY ARRAY['entries_of_class', 'entries_of_adjustments'] LOOP
		IF EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass('stowage.' || built) AND NOT indisvalid) THEN
			EXECUTE format('DROP INDEX stowage.%I', built);
		END IF;
	END LOOP;
END
$$;
-- +goose StatementEnd

-- Nobody waits behind the building of an index, but it waits for all transactions of before.
-- If that was bounded it would leave an invalid index, and all its work to be done again.
SET lock_timeout = 0;
CREATE INDEX CONCURRENTLY IF NOT EXISTS entries_of_class ON stowage.entries (workspace, class, id);

-- Adjustments are few among what objects hold. The projector does not write this index.
CREATE INDEX CONCURRENTLY IF NOT EXISTS entries_of_adjustments ON stowage.entries (workspace, id) WHERE account IN ('adjusted', 'allowance');
RESET lock_timeout;
