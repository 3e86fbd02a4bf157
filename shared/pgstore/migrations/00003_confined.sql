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

-- An index whose building was interrupted is there, but invalid.
DROP INDEX CONCURRENTLY IF EXISTS stowage.entries_of_class;
CREATE INDEX CONCURRENTLY entries_of_class ON stowage.entries (workspace, class, id);

-- Adjustments are few among what objects hold. The projector does not write this index.
DROP INDEX CONCURRENTLY IF EXISTS stowage.entries_of_adjustments;
CREATE INDEX CONCURRENTLY entries_of_adjustments ON stowage.entries (workspace, id) WHERE account IN ('adjusted', 'allowance');
