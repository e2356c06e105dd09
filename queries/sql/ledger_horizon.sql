-- The newest entry of the ledger.
SELECT MAX(received_at) AS newest
FROM ingest_ledger
WHERE received_at >= @since
