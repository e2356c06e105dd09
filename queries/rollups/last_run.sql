-- Up to when received rows are counted.
SELECT MAX(received_until) AS received_until
FROM rollup_runs
